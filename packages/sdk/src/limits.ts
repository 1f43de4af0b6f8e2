/** How long each phase may take when the caller sets no limit, in milliseconds. */
export const FIND_LIMIT_MS = 30_000
export const NEGOTIATE_LIMIT_MS = 30_000
export const DEPLOY_LIMIT_MS = 300_000
export const START_LIMIT_MS = 60_000
export const IDLE_LIMIT_MS = 600_000
export const FINISH_LIMIT_MS = 10_000

/** Everything that an abort sets off must end within this time. */
export const ABORT_CLEANUP_MS = 2_000

/** Part of that time for ending a rental, its invoice included. */
export const ABORT_FINISH_MS = 1_000

/** A provider that has not answered a proposal for so long is not waited for, and frees its place, in milliseconds. */
export const ANSWER_LIMIT_MS = 10_000

/** After a failure before start, how long new offers may take when all known providers have been asked, in milliseconds. */
export const REPLACEMENT_WAIT_MS = 1_000

/** How long affordable offers may take after the first ones, when all of those are above the budget, in milliseconds. */
export const AFFORDABLE_WAIT_MS = 3_000

/** Attempts to sign with one provider that offers again and again. */
export const SIGNINGS_MAX = 3

/** Refusals that an error names one by one. */
export const REFUSALS_NAMED_MAX = 3

/** A budget must pay for so many seconds of full use, the start price included, or the offer counts as too dear. */
export const BUDGET_SECONDS_MIN = 10

/** How long a rental may last when the caller does not say. */
export const RENTAL_DURATION_MS = 1_800_000

/** Other providers tried after failures before start, when the caller does not say. */
export const RENT_RETRIES = 3

/** Machines of one `map`, at most. */
export const MAP_MACHINES_MAX = 1000

/** Negotiations one rental leads at a time. */
export const NEGOTIATIONS_PARALLEL_MAX = 5

/** Offers one rental keeps waiting for their turn; the dearest fall out. */
export const CANDIDATES_MAX = 1000

/** Wait of one long poll, in seconds. */
export const POLL_SECONDS = 20

/** Pause after a failed poll, in milliseconds. */
export const POLL_PAUSE_MS = 500

/** How long a bill waits to be accepted when the daemon or the provider is away, in milliseconds. */
export const ACCEPT_LIMIT_MS = 30_000

/** Failed polls in a row after which a machine counts as lost. */
export const POLL_FAILURES_MAX = 6

/** Events of output one run keeps for readers that come late; the oldest fall out. The result has all of the output. */
export const OUTPUT_CHUNKS_MAX = 16_384

/** Narrative lines an error carries; the oldest fall out. */
export const TRANSCRIPT_LINES_MAX = 200

/** Events that wait for one reader of `session.events()`; the oldest fall out. */
export const EVENTS_QUEUE_MAX = 4096

/** Clocks of both sides may differ, and messages take time: usage may exceed what we measured by this much. */
export const USAGE_SLACK_SECONDS = 5
export const USAGE_SLACK_RATIO = 0.02

/** Files in one batch of transfers. */
export const TRANSFER_BATCH_FILES_MAX = 100
