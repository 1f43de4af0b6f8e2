/** For tests that are driven by the declarations: all APIs, and values that fit a schema or do not. */
import { z } from 'zod'

export { allApis } from './all.ts'

const HEX_32 = '0123456789abcdef0123456789abcdef'

/** One of these fits each scalar of the contract. */
const SCALARS: readonly unknown[] = [
  'text',
  `${HEX_32}-${HEX_32}${HEX_32}`,
  `R-${HEX_32}${HEX_32}`,
  HEX_32 + HEX_32,
  `0x${HEX_32}01234567`,
  '2026-11-23T08:15:00.000250Z',
  'true',
  '1',
  'AAEC',
  1,
  true,
  [1, 2, 3],
]

/** A wire value that the schema takes: every field is there, every list has an item. */
export function sampleOf(schema: z.core.$ZodType): unknown {
  if (schema instanceof z.ZodObject)
    return Object.fromEntries(Object.entries(schema.shape).map(([name, field]) => [name, sampleOf(field)]))
  if (schema instanceof z.ZodArray) return [sampleOf(schema.element)]
  if (schema instanceof z.ZodTuple) return schema.def.items.map(sampleOf)
  if (schema instanceof z.ZodUnion) return sampleOf(schema.options[0] ?? z.never())
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return sampleOf(schema.def.innerType)
  if (schema instanceof z.ZodRecord) return { key: sampleOf(schema.valueType) }
  if (schema instanceof z.ZodNull) return null
  if (schema instanceof z.ZodLiteral) return [...schema.values][0]
  if (schema instanceof z.ZodEnum) return schema.options[0]
  if (schema instanceof z.ZodPipe && !fitting(schema)) return sampleOf(schema.def.in)
  const found = fitting(schema)
  if (!found) throw new Error(`no sample fits ${schema._zod.def.type}`)
  return found.value
}

/** The first scalar that the schema takes. */
function fitting(schema: z.core.$ZodType): { value: unknown } | undefined {
  const value = SCALARS.find((scalar) => z.safeParse(schema, scalar).success)
  return value === undefined ? undefined : { value }
}

const WRONG: readonly unknown[] = [{ wrong: [] }, [{}], 'wrong value!', -1.5, true, null]

/** A wire value that the schema refuses; undefined when it takes anything. */
export function wrongFor(schema: z.core.$ZodType, candidates: readonly unknown[] = WRONG): unknown {
  return candidates.find((value) => !z.safeParse(schema, value).success)
}
