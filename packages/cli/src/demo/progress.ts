/** Live progress on a terminal: one line that is rewritten; elsewhere a line for each step. */
export type Progress = {
  /** What goes on now. */
  step(text: string): void
  /** Changes the present line, without keeping it. */
  update(text: string): void
  /** Ends the line. */
  done(text?: string): void
}

const CLEAR_LINE = '\r\u001b[2K'

export function createProgress(stream: { isTTY?: boolean; columns?: number; write(text: string): unknown }): Progress {
  const isLive = stream.isTTY === true
  let isOpen = false
  const fit = (text: string) => text.slice(0, (stream.columns || 80) - 1)
  const close = () => {
    if (isOpen) stream.write('\n')
    isOpen = false
  }
  const show = (text: string) => {
    stream.write(`${CLEAR_LINE}${fit(text)}`)
    isOpen = true
  }
  return {
    step: (text) => {
      if (!isLive) return void stream.write(`${text}\n`)
      close()
      show(text)
    },
    update: (text) => {
      if (isLive) show(text)
    },
    done: (text) => {
      if (text !== undefined && isLive) show(text)
      else if (text !== undefined) stream.write(`${text}\n`)
      close()
    },
  }
}
