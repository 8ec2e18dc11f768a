/** A message of an event stream. */
export interface Message {
  /** The last id that was sent, with this message or before. */
  id: string;
  event: string;
  data: string;
}

/** A message longer than this ends the stream: no event of cartd comes near it. */
const maxLength = 32 << 20;

/**
 * messages reads text/event-stream as the HTML standard says (section 9.2.6). A message that is cut off at the end is left
 * out: it comes again after a reconnection. onLine is called for every line, also for comments, which say no more than that
 * the other side lives; onRetry with the milliseconds that the server wants between two connections.
 */
export async function* messages(
  chunks: AsyncIterable<Uint8Array>,
  onLine: () => void = () => {},
  onRetry: (ms: number) => void = () => {},
): AsyncGenerator<Message> {
  let id = "";
  let event = "";
  let data: string[] = [];
  let length = 0;
  for await (const line of lines(chunks)) {
    onLine();
    if (line === "") {
      if (data.length > 0) yield { id, event: event || "message", data: data.join("\n") };
      event = "";
      data = [];
      length = 0;
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    switch (name) {
      case "data":
        if ((length += value.length) > maxLength) throw new Error("a message of the event stream is too long");
        data.push(value);
        break;
      case "event":
        event = value;
        break;
      case "id":
        if (!value.includes("\0")) id = value;
        break;
      case "retry":
        if (/^\d+$/.test(value)) onRetry(Number(value));
    }
  }
}

/** lines ends at \n, \r or \r\n, wherever the chunks are cut. */
async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder(); // takes a byte order mark away
  let rest: string[] = []; // of a line that has not ended
  let length = 0;
  let afterReturn = false;
  for await (const chunk of chunks) {
    let text = decoder.decode(chunk, { stream: true });
    if (text === "") continue;
    if (afterReturn && text.startsWith("\n")) text = text.slice(1);
    afterReturn = text.endsWith("\r");
    let start = 0;
    for (const end of text.matchAll(/\r\n|\n|\r/g)) {
      yield rest.join("") + text.slice(start, end.index);
      rest = [];
      length = 0;
      start = end.index! + end[0].length;
    }
    if (start < text.length) rest.push(text.slice(start));
    if ((length += text.length - start) > maxLength) throw new Error("a line of the event stream is too long");
  }
}

/** bytes reads a body. Safari's streams are no async iterables. */
export async function* bytes(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
