/** Replies of one stream that may be under way before the caller has used them. */
export const STREAM_WINDOW = 64
/** Replies of one call held for a caller, when the callee does not keep to the window. */
export const REPLY_QUEUE_LENGTH_MAX = 1_024
/** Calls under way from one attached process. */
export const INCOMING_CALLS_MAX = 1_024
/** Bytes of the bodies of all calls under way from one attached process. */
export const INCOMING_BYTES_MAX = 64 * 1024 * 1024
/** Calls under way to one attached process. */
export const OUTGOING_CALLS_MAX = 4_096
/** Bytes that wait for an attached process to read them; one that does not read is cut off. */
export const SEND_QUEUE_BYTES_MAX = 64 * 1024 * 1024
/** Processes attached at one time. */
export const CONNECTIONS_MAX = 256
/** Services and topics of one attached process. */
export const REGISTRATIONS_MAX = 1_000
/** The pause before the first attempt to attach again; it doubles with each. */
export const RECONNECT_DELAY_MIN_MS = 100
/** The longest pause between two attempts to attach again. Short: a local socket is cheap to try, and callers wait. */
export const RECONNECT_DELAY_MAX_MS = 1_000
/** How long an attempt to attach may take. */
export const CONNECT_TIMEOUT_MS = 5_000
/** Bytes that a sender hands to the socket before it waits for the other side to read. */
export const SEND_AHEAD_BYTES = 1024 * 1024
