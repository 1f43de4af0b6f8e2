/*
 * A small path tracer: spheres, boxes and rectangular or spherical lights from a text file, one tile of the picture per
 * run. Every pixel has random numbers of its own, made from its place alone, so tiles join without a seam and any tile
 * can be rendered again anywhere with the same result.
 *
 *   path-tracer --scene FILE --width W --height H [--tile X0,Y0,X1,Y1] [--samples N] --out FILE [--raw] [--quiet]
 *
 * Writes a PPM picture of the tile (with --raw: bare RGB bytes). Progress goes to standard output, a line per percent
 * that has changed. See scenes/default.txt for the form of a scene.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX 256 /* a multiple of four */
#define BOUNCES_MAX 8
#define SIDE_MAX 16384
#define SAMPLES_MAX 65536
#define NEAR 1e-4f
#define PI 3.14159265358979f

typedef struct { float x, y, z; } vec;
typedef enum { MATTE, METAL, GLASS, LIGHT, CHECKER, GLOSSY } surface;
typedef enum { SPHERE, BOX } shape;
typedef struct { shape shape; surface surface; vec a, b; float radius; vec colour; float extra; } object;
typedef struct { vec origin, direction; } ray;
typedef struct { vec point, normal; const object *object; } hit;

static object objects[OBJECTS_MAX];
static int object_count;
static vec sky_low = {1, 1, 1}, sky_high = {0.5f, 0.7f, 1};
static struct { vec from, to; float angle, lens, focus; } camera = {{0, 1, 5}, {0, 0, 0}, 40, 0, 0};

static vec v(float x, float y, float z) { return (vec){x, y, z}; }
static vec add(vec a, vec b) { return v(a.x + b.x, a.y + b.y, a.z + b.z); }
static vec sub(vec a, vec b) { return v(a.x - b.x, a.y - b.y, a.z - b.z); }
static vec mul(vec a, vec b) { return v(a.x * b.x, a.y * b.y, a.z * b.z); }
static vec scale(vec a, float s) { return v(a.x * s, a.y * s, a.z * s); }
static float dot(vec a, vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vec cross(vec a, vec b) { return v(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x); }
static vec unit(vec a) { return scale(a, 1 / sqrtf(dot(a, a))); }
static vec reflect(vec d, vec n) { return sub(d, scale(n, 2 * dot(d, n))); }

/* Random numbers: PCG, seeded from the pixel's place. */
static uint64_t random_state;

static uint32_t random_bits(void) {
  uint64_t old = random_state;
  random_state = old * 6364136223846793005ull + 1442695040888963407ull;
  uint32_t mixed = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
  return mixed >> turn | mixed << (-turn & 31);
}

static float random_unit(void) { return (float)(random_bits() >> 8) * (1.0f / 16777216.0f); }

static void seed_pixel(uint32_t x, uint32_t y) {
  random_state = ((uint64_t)x << 32 | y) * 0x9e3779b97f4a7c15ull + 0xd1b54a32d192ed03ull;
  random_bits();
  random_bits();
}

static vec random_direction(void) {
  float z = 1 - 2 * random_unit(), angle = 2 * PI * random_unit(), r = sqrtf(fmaxf(0, 1 - z * z));
  return v(r * cosf(angle), r * sinf(angle), z);
}

/*
 * Intersections: the nearest distance beyond NEAR, or NOTHING. Spheres are kept by coordinate, so that the compiler can
 * meet four at a time.
 */
#define NOTHING 1e30f
static float sphere_x[OBJECTS_MAX], sphere_y[OBJECTS_MAX], sphere_z[OBJECTS_MAX], sphere_r2[OBJECTS_MAX];
static const object *sphere_object[OBJECTS_MAX], *box_object[OBJECTS_MAX];
static int sphere_count, box_count;

static void sort_objects(void) {
  for (int i = 0; i < object_count; i++) {
    const object *o = &objects[i];
    if (o->shape == BOX) {
      box_object[box_count++] = o;
      continue;
    }
    sphere_x[sphere_count] = o->a.x, sphere_y[sphere_count] = o->a.y, sphere_z[sphere_count] = o->a.z;
    sphere_r2[sphere_count] = o->radius * o->radius;
    sphere_object[sphere_count++] = o;
  }
}

static void meet_spheres(const ray *r, float *at) {
  const vec from = r->origin, way = r->direction;
  int count = (sphere_count + 3) & ~3;
  for (int i = 0; i < count; i++) {
    float x = from.x - sphere_x[i], y = from.y - sphere_y[i], z = from.z - sphere_z[i];
    float b = x * way.x + y * way.y + z * way.z, d = b * b - (x * x + y * y + z * z - sphere_r2[i]);
    float root = sqrtf(d > 0 ? d : 0), near = -b - root, far = -b + root;
    float t = near > NEAR ? near : far;
    at[i] = d > 0 && t > NEAR ? t : NOTHING;
  }
}

static float meet_box(const object *o, const ray *r, vec *normal) {
  const float *from = &r->origin.x, *way = &r->direction.x, *low = &o->a.x, *high = &o->b.x;
  float enter = -1e30f, leave = 1e30f;
  int in = 0, out = 0;
  for (int i = 0; i < 3; i++) {
    float one = (low[i] - from[i]) / way[i], two = (high[i] - from[i]) / way[i];
    float first = fminf(one, two), last = fmaxf(one, two);
    if (first > enter) enter = first, in = i;
    if (last < leave) leave = last, out = i;
  }
  if (enter > leave || leave <= NEAR) return 0;
  int is_outside = enter > NEAR, axis = is_outside ? in : out;
  float sign = way[axis] > 0 ? 1 : -1;
  *normal = v(0, 0, 0);
  (&normal->x)[axis] = is_outside ? -sign : sign;
  return is_outside ? enter : leave;
}

static int find_hit(const ray *r, hit *h) {
  float at[OBJECTS_MAX], nearest = NOTHING;
  vec normal;
  h->object = NULL;
  meet_spheres(r, at);
  for (int i = 0; i < sphere_count; i++)
    if (at[i] < nearest) nearest = at[i], h->object = sphere_object[i];
  for (int i = 0; i < box_count; i++) {
    float t = meet_box(box_object[i], r, &normal);
    if (t > 0 && t < nearest) nearest = t, h->object = box_object[i], h->normal = normal;
  }
  if (!h->object) return 0;
  h->point = add(r->origin, scale(r->direction, nearest));
  if (h->object->shape == SPHERE) h->normal = scale(sub(h->point, h->object->a), 1 / h->object->radius);
  return 1;
}

static int is_blocked(vec from, vec direction, float distance) {
  ray r = {from, direction};
  float at[OBJECTS_MAX];
  vec normal;
  meet_spheres(&r, at);
  for (int i = 0; i < sphere_count; i++)
    if (at[i] < distance && sphere_object[i]->surface != LIGHT) return 1;
  for (int i = 0; i < box_count; i++) {
    if (box_object[i]->surface == LIGHT) continue;
    float t = meet_box(box_object[i], &r, &normal);
    if (t > 0 && t < distance) return 1;
  }
  return 0;
}

static vec sky(vec direction) {
  float t = 0.5f * (direction.y + 1);
  return add(scale(sky_low, 1 - t), scale(sky_high, t));
}

/* Light that reaches a matte point straight from the spherical lights: one random point of each. */
static vec direct_light(vec point, vec normal) {
  vec sum = v(0, 0, 0);
  for (int i = 0; i < object_count; i++) {
    const object *o = &objects[i];
    if (o->surface != LIGHT || o->shape != SPHERE) continue;
    vec to = sub(o->a, point);
    float distance2 = dot(to, to), sine2 = o->radius * o->radius / distance2;
    if (sine2 >= 1) continue;
    float cosine_max = sqrtf(1 - sine2), z = 1 - random_unit() * (1 - cosine_max);
    float angle = 2 * PI * random_unit(), r = sqrtf(fmaxf(0, 1 - z * z));
    vec w = scale(to, 1 / sqrtf(distance2));
    vec side = unit(cross(fabsf(w.x) > 0.5f ? v(0, 1, 0) : v(1, 0, 0), w)), up = cross(w, side);
    vec way = add(add(scale(side, r * cosf(angle)), scale(up, r * sinf(angle))), scale(w, z));
    float cosine = dot(way, normal);
    if (cosine <= 0 || is_blocked(point, way, sqrtf(distance2) - o->radius)) continue;
    sum = add(sum, scale(o->colour, cosine * 2 * (1 - cosine_max)));
  }
  return sum;
}

static vec colour_at(const hit *h) {
  if (h->object->surface != CHECKER) return h->object->colour;
  float size = h->object->extra > 0 ? h->object->extra : 1;
  int odd = ((int)floorf(h->point.x / size) + (int)floorf(h->point.z / size)) & 1;
  return scale(h->object->colour, odd ? 0.28f : 1.0f);
}

static float schlick(float cosine, float index) {
  float r = (1 - index) / (1 + index);
  r *= r;
  return r + (1 - r) * powf(1 - cosine, 5);
}

static vec bend(vec d, vec normal, float index) {
  float cosine = -dot(d, normal), ratio = 1 / index;
  if (cosine < 0) normal = scale(normal, -1), cosine = -cosine, ratio = index;
  float sine2 = ratio * ratio * (1 - cosine * cosine);
  if (sine2 > 1 || random_unit() < schlick(cosine, index)) return reflect(d, normal);
  return unit(add(scale(d, ratio), scale(normal, ratio * cosine - sqrtf(1 - sine2))));
}

static vec trace(ray r) {
  vec light = v(0, 0, 0), weight = v(1, 1, 1);
  int sees_lights = 1; /* After a matte point the lights were counted already. */
  for (int bounce = 0; bounce < BOUNCES_MAX; bounce++) {
    hit h;
    if (!find_hit(&r, &h)) return add(light, mul(weight, sky(r.direction)));
    const object *o = h.object;
    if (o->surface == LIGHT) {
      return sees_lights || o->shape != SPHERE ? add(light, mul(weight, o->colour)) : light;
    }
    vec normal = dot(h.normal, r.direction) < 0 ? h.normal : scale(h.normal, -1);
    int is_mirror = o->surface == METAL;
    if (o->surface == GLOSSY) is_mirror = random_unit() < schlick(-dot(r.direction, normal), 1.5f);
    r.origin = h.point;
    if (o->surface == GLASS) {
      r.direction = bend(r.direction, h.normal, o->extra);
      weight = mul(weight, o->colour);
      sees_lights = 1;
    } else if (is_mirror) {
      float rough = o->surface == METAL ? o->extra : 0;
      r.direction = unit(add(reflect(r.direction, normal), scale(random_direction(), rough)));
      if (dot(r.direction, normal) <= 0) return light;
      if (o->surface == METAL) weight = mul(weight, o->colour);
      sees_lights = 1;
    } else {
      weight = mul(weight, colour_at(&h));
      light = add(light, mul(weight, direct_light(h.point, normal)));
      r.direction = unit(add(normal, scale(random_direction(), 0.999f)));
      sees_lights = 0;
    }
    if (bounce > 2) { /* Paths that carry little end early, the others make up for them. */
      float chance = fminf(0.95f, fmaxf(weight.x, fmaxf(weight.y, weight.z)));
      if (random_unit() >= chance) return light;
      weight = scale(weight, 1 / chance);
    }
  }
  return light;
}

/* Reading a scene. */
static void fail(const char *what, const char *which) {
  fprintf(stderr, "path-tracer: %s: %s\n", what, which);
  exit(2);
}

static surface surface_named(const char *name) {
  static const char *names[] = {"matte", "metal", "glass", "light", "checker", "glossy"};
  for (int i = 0; i < 6; i++)
    if (!strcmp(name, names[i])) return (surface)i;
  fail("unknown surface", name);
  return MATTE;
}

static int read_object(const char *line) {
  char kind[16], name[16];
  object o = {0};
  float f[6];
  if (sscanf(line, "%15s", kind) != 1) return 0;
  if (!strcmp(kind, "sphere")) {
    int n = sscanf(line, "%*s %f %f %f %f %15s %f %f %f %f", f, f + 1, f + 2, f + 3, name, &o.colour.x, &o.colour.y,
                   &o.colour.z, &o.extra);
    if (n < 8) fail("a sphere needs: x y z radius surface r g b [extra]", line);
    o.shape = SPHERE, o.a = v(f[0], f[1], f[2]), o.radius = f[3];
  } else if (!strcmp(kind, "box")) {
    int n = sscanf(line, "%*s %f %f %f %f %f %f %15s %f %f %f %f", f, f + 1, f + 2, f + 3, f + 4, f + 5, name,
                   &o.colour.x, &o.colour.y, &o.colour.z, &o.extra);
    if (n < 10) fail("a box needs: x0 y0 z0 x1 y1 z1 surface r g b [extra]", line);
    o.shape = BOX, o.a = v(f[0], f[1], f[2]), o.b = v(f[3], f[4], f[5]);
  } else {
    return 0;
  }
  o.surface = surface_named(name);
  if (o.surface == GLASS && o.extra == 0) o.extra = 1.5f;
  if (object_count == OBJECTS_MAX) fail("too many objects", line);
  objects[object_count++] = o;
  return 1;
}

static int read_setting(const char *line) {
  vec a, b;
  float x, y, z;
  int n = sscanf(line, "camera %f %f %f %f %f %f %f %f %f", &a.x, &a.y, &a.z, &b.x, &b.y, &b.z, &x, &y, &z);
  if (n >= 7) {
    camera.from = a, camera.to = b, camera.angle = x, camera.lens = n > 7 ? y : 0, camera.focus = n > 8 ? z : 0;
    return 1;
  }
  if (sscanf(line, "sky %f %f %f %f %f %f", &a.x, &a.y, &a.z, &b.x, &b.y, &b.z) != 6) return 0;
  sky_low = a, sky_high = b;
  return 1;
}

static void read_scene(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail("cannot open the scene", path);
  char line[512];
  while (fgets(line, sizeof line, file)) {
    char *text = line + strspn(line, " \t");
    text[strcspn(text, "#\r\n")] = 0;
    if (*text && !read_object(text) && !read_setting(text)) fail("cannot read the line", text);
  }
  fclose(file);
  if (object_count == 0) fail("the scene has no objects", path);
}

/* Rendering. */
typedef struct { vec corner, across, down, side, up; } view;

static view view_of(int width, int height) {
  vec back = unit(sub(camera.from, camera.to)), side = unit(cross(v(0, 1, 0), back)), up = cross(back, side);
  vec way = sub(camera.from, camera.to);
  float focus = camera.focus > 0 ? camera.focus : sqrtf(dot(way, way));
  float h = 2 * tanf(camera.angle * PI / 360) * focus, w = h * (float)width / (float)height;
  vec across = scale(side, w), down = scale(up, -h);
  vec middle = sub(camera.from, scale(back, focus));
  vec corner = sub(sub(middle, scale(across, 0.5f)), scale(down, 0.5f));
  return (view){corner, across, down, side, up};
}

static vec pixel(const view *s, int x, int y, int width, int height, int samples) {
  vec sum = v(0, 0, 0);
  int grid = (int)sqrtf((float)samples);
  seed_pixel((uint32_t)x, (uint32_t)y);
  for (int i = 0; i < samples; i++) {
    /* The first grid*grid samples are spread evenly over the pixel. */
    float dx = random_unit(), dy = random_unit();
    if (i < grid * grid) dx = ((float)(i % grid) + dx) / (float)grid, dy = ((float)(i / grid) + dy) / (float)grid;
    float angle = 2 * PI * random_unit(), r = camera.lens * sqrtf(random_unit());
    vec lens = add(scale(s->side, r * cosf(angle)), scale(s->up, r * sinf(angle)));
    vec at = add(add(s->corner, scale(s->across, ((float)x + dx) / (float)width)),
                 scale(s->down, ((float)y + dy) / (float)height));
    vec origin = add(camera.from, lens);
    vec got = trace((ray){origin, unit(sub(at, origin))});
    /* A single very bright sample would leave a dot. */
    float peak = fmaxf(got.x, fmaxf(got.y, got.z));
    sum = add(sum, peak > 4 ? scale(got, 4 / peak) : got);
  }
  return scale(sum, 1 / (float)samples);
}

/* Filmic tone curve (Hable's shape by Narkowicz' fit), then gamma. */
static unsigned char tone(float x) {
  x *= 0.82f;
  float y = x * (2.51f * x + 0.03f) / (x * (2.43f * x + 0.59f) + 0.14f);
  return (unsigned char)(255.0f * powf(fminf(1, fmaxf(0, y)), 1 / 2.2f) + 0.5f);
}

static int number(const char *text, const char *name, int low, int high) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*end || end == text || value < low || value > high) fail(name, text);
  return (int)value;
}

int main(int argc, char **argv) {
  const char *scene = NULL, *out = NULL, *tile = NULL;
  int width = 640, height = 400, samples = 16, is_raw = 0, is_quiet = 0, x0 = 0, y0 = 0, x1, y1;
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(argv[i], "--raw")) { is_raw = 1; continue; }
    if (!strcmp(argv[i], "--quiet")) { is_quiet = 1; continue; }
    if (!strcmp(argv[i], "--scene")) scene = value;
    else if (!strcmp(argv[i], "--out")) out = value;
    else if (!strcmp(argv[i], "--tile")) tile = value;
    else if (!strcmp(argv[i], "--width")) width = number(value, "bad --width", 1, SIDE_MAX);
    else if (!strcmp(argv[i], "--height")) height = number(value, "bad --height", 1, SIDE_MAX);
    else if (!strcmp(argv[i], "--samples")) samples = number(value, "bad --samples", 1, SAMPLES_MAX);
    else fail("unknown option", argv[i]);
    i++;
  }
  if (!scene || !out) fail("needed", "--scene FILE and --out FILE");
  x1 = width, y1 = height;
  if (tile && sscanf(tile, "%d,%d,%d,%d", &x0, &y0, &x1, &y1) != 4) fail("a tile is X0,Y0,X1,Y1", tile);
  if (x0 < 0 || y0 < 0 || x1 > width || y1 > height || x0 >= x1 || y0 >= y1) fail("the tile is not in the picture", tile ? tile : "");
  read_scene(scene);
  sort_objects();

  FILE *file = fopen(out, "wb");
  if (!file) fail("cannot write", out);
  if (!is_raw) fprintf(file, "P6\n%d %d\n255\n", x1 - x0, y1 - y0);
  view s = view_of(width, height);
  unsigned char *row = malloc((size_t)(x1 - x0) * 3);
  for (int y = y0, told = -1; y < y1; y++) {
    for (int x = x0; x < x1; x++) {
      vec c = pixel(&s, x, y, width, height, samples);
      unsigned char *p = row + (x - x0) * 3;
      p[0] = tone(c.x), p[1] = tone(c.y), p[2] = tone(c.z);
    }
    fwrite(row, 3, (size_t)(x1 - x0), file);
    int percent = (y + 1 - y0) * 100 / (y1 - y0);
    if (percent != told && !is_quiet) printf("progress %d\n", told = percent), fflush(stdout);
  }
  if (fclose(file)) fail("cannot write", out);
  return 0;
}
