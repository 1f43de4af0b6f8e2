/**
 * Files published to peers, and files that peers may upload. What names a path on the disk acts with the daemon's own rights
 * there, its data folder included, and is for managers.
 */
import { maybe, nullable, shortTextSchema } from '@emet/core'
import { z } from 'zod'
import { listQuery } from '../query.ts'
import { defineApi } from '../route.ts'
import { done, EMET_BASE, malformed } from './shared.ts'

const fileUrl = shortTextSchema.min(1)
const publishedSchema = z
  .object({ url: z.string(), sha3: z.string(), sizeBytes: z.int().min(0) })
  .meta({ id: 'PublishedFile' })
export type PublishedFileDocument = z.output<typeof publishedSchema>

const fileSchema = z
  .object({
    url: z.string(),
    direction: z.enum(['publish', 'receive']).describe('publish: peers read it; receive: a peer may write it'),
    path: nullable(z.string()).describe('Where it is on the disk of the node'),
    state: z.enum(['open', 'transferring', 'done', 'failed']),
    sizeBytes: nullable(z.int().min(0)),
    transferredBytes: z.int().min(0),
    sha3: nullable(z.string()),
    message: nullable(z.string()),
  })
  .meta({ id: 'File' })
export type FileDocument = z.output<typeof fileSchema>

export const emetFilesApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: files',
  description: 'Files published to peers, and files that peers may upload',
  malformed,
  routes: {
    publish: {
      method: 'POST',
      path: '/files/publish',
      access: 'manager',
      summary: 'Publishes a file on the disk of the node',
      body: z.object({ path: z.string().min(1).max(4096) }),
      success: { status: 200, body: publishedSchema },
      errors: [400, 404],
    },
    receive: {
      method: 'POST',
      path: '/files/receive',
      summary: 'Opens a URL that a peer may upload one file to. Without a path the node keeps the bytes',
      body: z.object({ path: maybe(z.string().min(1).max(4096)) }),
      managerFields: ['path'],
      success: { status: 200, body: z.object({ url: z.string() }) },
      errors: [400, 403],
    },
    list: {
      method: 'GET',
      path: '/files',
      summary: 'Files published or received, and how far they are',
      query: z.object({ urls: maybe(listQuery) }),
      success: { status: 200, body: z.array(fileSchema) },
      errors: [400],
    },
    close: {
      method: 'DELETE',
      path: '/files',
      summary: 'Closes a URL; bytes that only the node keeps are deleted',
      query: z.object({ url: fileUrl }),
      success: done,
      errors: [400, 404],
    },
    publishContent: {
      method: 'PUT',
      path: '/files/content',
      summary: 'Publishes the bytes of the request body',
      body: 'bytes',
      success: { status: 200, body: publishedSchema },
      errors: [400, 413, 507],
    },
    getContent: {
      method: 'GET',
      path: '/files/content',
      summary: 'The bytes behind a URL of this node: what was received, or was published',
      query: z.object({ url: fileUrl }),
      success: { status: 200, body: 'bytes' },
      errors: [400, 404, 409],
    },
    download: {
      method: 'POST',
      path: '/files/download',
      access: 'manager',
      summary: 'Copies the file behind a URL of any node to the disk of this one',
      body: z.object({ url: fileUrl, path: z.string().min(1).max(4096) }),
      success: { status: 200, body: publishedSchema },
      errors: [400, 404, 409, 413, 502, 507],
    },
    upload: {
      method: 'POST',
      path: '/files/upload',
      access: 'manager',
      summary: 'Copies a file on the disk of the node to a URL that another node has opened',
      body: z.object({ path: z.string().min(1).max(4096), url: fileUrl }),
      success: { status: 200, body: publishedSchema },
      errors: [400, 404, 409, 413, 502, 507],
    },
  },
})
