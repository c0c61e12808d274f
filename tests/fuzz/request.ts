/** A request as it goes over the wire. Names in ⟦…⟧ stand for what only the world of a run knows. */
export interface FuzzRequest {
  /** The operation it is made for. */
  readonly operationId: string;
  readonly method: string;
  /** From the root, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Text, or bytes in base64. */
  readonly body: { readonly text: string } | { readonly base64: string } | null;
  /** Which caller it pretends to be. */
  readonly credential: string;
  /** Whether it is what the document asks for: then it is not its shape that is refused. */
  readonly fits: boolean;
  /** Whether it still goes to the operation: not when its method or path was tampered with. */
  readonly aimed: boolean;
}

export interface FuzzAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** The request as a command to be repeated by hand. */
export function asCurl(url: string, { method, path, headers, body }: FuzzRequest): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ["curl", "--path-as-is", "-i", "-X", method, quoted(`${url}${path}`)];
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quoted(`${name}: ${value}`));
  if (body === null) return parts.join(" ");
  const isPlain = "text" in body && !body.text.includes("\0") && body.text.isWellFormed();
  if (isPlain) return [...parts, "--data-binary", quoted(body.text)].join(" ");
  const base64 = "text" in body ? btoa(String.fromCharCode(...new TextEncoder().encode(body.text))) : body.base64;
  return `echo ${base64} | base64 -d | ${[...parts, "--data-binary", "@-"].join(" ")}`;
}
