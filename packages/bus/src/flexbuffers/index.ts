/**
 * FlexBuffers, the encoding of message bodies: self-describing and compact. Our own codec, because the bytes must be those
 * of flexbuffers-rs 2.0.0 (Golem wire) and hostile ones must do no harm; the npm package reads typed vectors wrongly.
 */
export { decodeFlexbuffers } from './reader.ts'
export { BODY_BYTES_MAX, DEPTH_MAX, Float } from './types.ts'
export { encodeFlexbuffers } from './writer.ts'
