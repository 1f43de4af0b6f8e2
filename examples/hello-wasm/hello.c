/* Greets each of its arguments, on standard output and in /output/greeting.txt. */
#include <stdio.h>

int main(int argc, char **argv) {
  FILE *file = fopen("/output/greeting.txt", "w");
  if (!file) return perror("/output/greeting.txt"), 1;
  for (int at = 1; at < argc; at++) {
    printf("hello %s\n", argv[at]);
    fprintf(file, "hello %s\n", argv[at]);
  }
  return fclose(file);
}
