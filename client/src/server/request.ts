// Reading a request's body. The rule: never more of it in memory than may be passed on.

/** The body, or `undefined` where it is longer than `max` bytes. */
export async function readBody(request: Request, max: number): Promise<ArrayBuffer | undefined> {
  if (Number(request.headers.get('content-length')) > max) return undefined
  const reader = request.body?.getReader()
  const chunks = []
  let size = 0
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    size += next.value.byteLength
    if (size > max) {
      await reader?.cancel()
      return undefined
    }
    chunks.push(next.value)
  }
  return new Blob(chunks).arrayBuffer()
}
