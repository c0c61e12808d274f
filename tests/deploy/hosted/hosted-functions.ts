import type { DeployedFunction } from "../management-api.ts";
import { type FunctionProcess, startFunctionProcess } from "./function-process.ts";
import { unpack, type Unpacked } from "./unpack.ts";

/** What the requests of one function cost since it was started. */
export interface Usage {
  requests: number;
  /** Of the dearest among the requests that ran alone. */
  cpuMs: number;
  /** The most its process had. */
  memoryMb: number;
}

/**
 * Uploaded functions, served as the platform serves them: each in a process of its own behind one port, which sees the
 * slug first in the path, and turns HTML into plain text.
 */
export class HostedFunctions implements AsyncDisposable {
  readonly #uploads: ReadonlyMap<string, DeployedFunction>;
  readonly #unpacked: Unpacked;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #processes = new Map<string, FunctionProcess>();
  readonly #log: string[] = [];
  readonly usage = new Map<string, Usage>();

  private constructor(uploads: ReadonlyMap<string, DeployedFunction>, unpacked: Unpacked) {
    this.#uploads = uploads;
    this.#unpacked = unpacked;
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => this.#pass(request));
  }

  static async create(uploads: ReadonlyMap<string, DeployedFunction>): Promise<HostedFunctions> {
    return new HostedFunctions(uploads, await unpack(uploads.values()));
  }

  get port(): number {
    return this.#server.addr.port;
  }

  /** Where a function's upload lies. */
  folderOf(slug: string): string {
    const folder = this.#unpacked.folders.get(slug);
    if (folder === undefined) throw new Error(`No function "${slug}" was uploaded`);
    return folder;
  }

  /** What the functions complained of last. */
  get lastWords(): string {
    return this.#log.filter((line) => !/"level":"info"|: Listening on /.test(line)).slice(-20).join("\n");
  }

  /** Starts every function anew in this environment; answers how long each took until it listened, in milliseconds. */
  async start(environment: Record<string, string>): Promise<Map<string, number>> {
    await this.#stopProcesses();
    this.usage.clear();
    const times = new Map<string, number>();
    // One after the other, so that none waits for another's share of the machine.
    for (const [slug, { metadata }] of this.#uploads) {
      const started = await startFunctionProcess({
        folder: this.#unpacked.folders.get(slug)!,
        entrypoint: metadata.entrypoint_path,
        importMap: metadata.import_map_path,
        packages: this.#unpacked.packages,
        root: this.#unpacked.root,
        environment,
        log: (line) => void this.#log.push(`${slug}: ${line}`),
      }).catch((error) => {
        throw new Error(`Function ${slug} does not start: ${error.message}`);
      });
      this.#processes.set(slug, started);
      times.set(slug, started.startMs);
    }
    return times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // First what answers, so that no request keeps the server.
    await this.#stopProcesses();
    await this.#server.shutdown();
    await this.#unpacked[Symbol.asyncDispose]();
  }

  async #stopProcesses(): Promise<void> {
    await Promise.all([...this.#processes.values()].map((process) => process.stop()));
    this.#processes.clear();
  }

  async #pass(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const slug = pathname.split("/")[1] ?? "";
    const process = this.#processes.get(slug);
    if (!process) {
      return Response.json({ code: "NOT_FOUND", message: "Requested function was not found" }, { status: 404 });
    }
    const headers = new Headers(request.headers);
    // What is decoded on the way would no longer fit its headers.
    headers.set("accept-encoding", "identity");
    try {
      const answer = await fetch(`http://127.0.0.1:${process.port}${pathname}${search}`, {
        method: request.method,
        headers,
        body: request.body,
        redirect: "manual",
        signal: request.signal,
      });
      this.#count(slug, answer.headers);
      return asServed(request, answer);
    } catch (error) {
      if (request.signal.aborted) return new Response(null, { status: 499 });
      return Response.json({ code: "WORKER_ERROR", message: String(error) }, { status: 502 });
    }
  }

  #count(slug: string, headers: Headers): void {
    const usage = this.usage.get(slug) ?? { requests: 0, cpuMs: 0, memoryMb: 0 };
    usage.requests += 1;
    usage.cpuMs = Math.max(usage.cpuMs, Number(headers.get("x-hosted-cpu-ms") ?? 0));
    usage.memoryMb = Math.max(usage.memoryMb, Number(headers.get("x-hosted-memory-mb") ?? 0));
    this.usage.set(slug, usage);
  }
}

/** The platform serves HTML on custom domains only: elsewhere the answer to a GET becomes plain text. */
function asServed(request: Request, answer: Response): Response {
  const response = new Response(answer.body, answer);
  if (request.method === "GET" && /^text\/html\b/.test(answer.headers.get("content-type") ?? "")) {
    response.headers.set("content-type", "text/plain");
  }
  return response;
}
