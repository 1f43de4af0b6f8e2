/** The OpenAPI 3.1 document, generated from the declarations. */
import { z } from 'zod'
import { type Api, failureStatuses, type Route, routePath } from './route.ts'

type Json = Record<string, unknown>

const TEXT = { 'text/plain': { schema: { type: 'string' } } }

/** What the statuses of documented failures mean. */
const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: 'The request is wrong',
  401: 'No app key, or an unknown one',
  403: 'Not permitted',
  404: 'Not found',
  408: 'Time is up',
  409: 'The state does not allow it yet',
  410: 'The state does not allow it any more',
  413: 'Too large',
  500: 'It failed inside, or at the peer',
  502: 'The other side failed',
  504: 'The other side did not answer in time',
  507: 'No space left',
}

/** Makes the document of the given APIs. */
export function openApiDocument(apis: readonly Api[], version: string): Json {
  const components: Json = {}
  const paths: Record<string, Json> = {}
  for (const api of apis)
    for (const [name, route] of Object.entries(api.routes)) {
      const path = routePath(api, route).replace(/:(\w+)/g, '{$1}')
      paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(api, name, route, components) }
    }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Emet',
      version,
      description: 'The REST API of an Emet daemon: the published API of Golem, and additions under /emet/v1.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:7465' }],
    security: [{ appKey: [] }, { authToken: [] }],
    tags: apis.map(({ tag, description }) => ({ name: tag, description })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))),
      responses: sharedResponses(),
      securitySchemes: {
        appKey: { type: 'http', scheme: 'bearer' },
        authToken: { type: 'apiKey', in: 'query', name: 'authToken' },
      },
    },
  }
}

function operation(api: Api, name: string, route: Route, components: Json): Json {
  return {
    operationId: `${api.tag.replace(/^emet: /, 'emet_')}_${name}`,
    tags: [api.tag],
    summary: route.summary,
    ...describe(route),
    ...(route.access === 'open' ? { security: [] } : {}),
    parameters: [...parameters(route.params, 'path', components), ...parameters(route.query, 'query', components)],
    ...(route.body === undefined ? {} : { requestBody: requestBody(route.body, components) }),
    responses: responses(route, components),
  }
}

function describe({ description, access, managerFields }: Route): Json {
  const text = [
    ...(description ? [description] : []),
    ...(access === 'manager' ? ['Needs an app key with the role manager.'] : []),
    ...(managerFields ? [`Only an app key with the role manager may give ${managerFields.join(', ')}.`] : []),
  ].join('\n\n')
  return text === '' ? {} : { description: text }
}

function parameters(schema: z.ZodObject | undefined, place: 'path' | 'query', components: Json): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => ({
    name,
    in: place,
    required: place === 'path' || !z.safeParse(field, undefined).success,
    schema: { ...withoutNull(jsonSchema(field as z.ZodType, components)), ...defaultOf(field) },
  }))
}

/** A parameter cannot be null, only absent. */
function withoutNull({ anyOf, ...rest }: Json): Json {
  if (!Array.isArray(anyOf)) return rest
  const others = (anyOf as Json[]).filter(({ type }) => type !== 'null')
  return others.length === 1 ? { ...rest, ...others[0] } : { ...rest, anyOf: others }
}

/** The default in its wire form; numbers stay numbers. */
function defaultOf(field: unknown): Json {
  if (!(field instanceof z.ZodDefault)) return {}
  const { defaultValue, innerType } = field.def
  const wire = z.encode(innerType as z.ZodType, defaultValue as never)
  return { default: wire === String(defaultValue) ? defaultValue : wire }
}

function requestBody(body: NonNullable<Route['body']>, components: Json): Json {
  const content =
    body === 'bytes'
      ? { 'application/octet-stream': {} }
      : { 'application/json': { schema: jsonSchema(body, components) } }
  return { required: true, content }
}

function responses(route: Route, components: Json): Json {
  jsonSchema(errorMessage, components)
  const failures = [...failureStatuses(route), 500]
  return {
    [route.success.status]: success(route, components),
    ...Object.fromEntries(failures.map((status) => [status, { $ref: `#/components/responses/Failure${status}` }])),
  }
}

/** The documented failures. Which of the forms a 400 has, the declarations say for each API (`malformed`). */
function sharedResponses(): Json {
  const json = { 'application/json': { schema: { $ref: '#/components/schemas/ErrorMessage' } } }
  const problem = { 'application/problem+json': { schema: { type: 'object' } } }
  const entries = Object.entries(STATUS_TEXTS).map(([status, description]) => {
    const content = status === '401' ? TEXT : { ...json, ...(status === '400' ? { ...TEXT, ...problem } : {}) }
    return [`Failure${status}`, { description, content }]
  })
  return Object.fromEntries(entries)
}

const errorMessage = z.object({ message: z.string().nullable() }).meta({ id: 'ErrorMessage' })

function success(route: Route, components: Json): Json {
  const { body } = route.success
  const description = route.websocket ? 'Upgraded to a WebSocket' : 'Done'
  const content = {
    ...(body instanceof z.ZodType ? { 'application/json': { schema: jsonSchema(body, components) } } : {}),
    ...(body === 'text' ? TEXT : {}),
    ...(body === 'bytes' ? { 'application/octet-stream': {} } : {}),
    ...(route.events ? { 'text/event-stream': { schema: jsonSchema(route.events, components) } } : {}),
  }
  return Object.keys(content).length === 0 ? { description } : { description, content }
}

/** The JSON schema of the wire form. Named schemas go to `components`. */
function jsonSchema(schema: z.ZodType, components: Json): Json {
  const made = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema: target }) => replaceByWire(target as Json),
  })
  const { $schema: _, $defs = {}, id, ...rest } = made as Json
  for (const [name, definition] of Object.entries($defs as Record<string, Json>)) {
    const { id: __, ...bare } = definition
    components[name] ??= withReferences(bare)
  }
  if (typeof id !== 'string') return withReferences(rest) as Json
  components[id] ??= withReferences(rest)
  return { $ref: `#/components/schemas/${id}` }
}

/** A codec says itself what its wire form is. */
function replaceByWire(target: Json): void {
  const { wire } = target
  if (wire === undefined) return
  for (const key of Object.keys(target)) delete target[key]
  Object.assign(target, wire)
}

/** Points `#/$defs/X` to the components. */
function withReferences(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withReferences)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => [
    key,
    key === '$ref' && typeof item === 'string'
      ? item.replace('#/$defs/', '#/components/schemas/')
      : withReferences(item),
  ])
  return Object.fromEntries(entries)
}
