import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import { makeDeviceProof } from "../../../shared/auth/device-proof.ts";
import type { Random } from "../../support/random.ts";
import { Journal } from "./journal.ts";
import type { FaultKind } from "./schedule.ts";

export interface LiarOptions {
  readonly url: string;
  readonly publishableKey: string;
  readonly enrollmentToken: string;
  readonly slots: number;
  readonly tenant: string;
  readonly folder: string;
  readonly random: Random;
  /** Jobs of its own tenant that apps were told of, oldest first. */
  readonly jobIds: () => readonly string[];
  /** Jobs of another tenant. */
  readonly foreignJobIds: () => readonly string[];
  /** Ids of that tenant's workers. */
  readonly foreignWorkerIds: () => readonly string[];
}

interface Attempt {
  readonly job_id: string;
  readonly attempt: number;
}

/** An attempt that it was given, and its own execution of it. */
interface Held extends Attempt {
  readonly execution: string;
  readonly tenant: string;
}

interface Answer {
  readonly status: number;
  // deno-lint-ignore no-explicit-any -- whatever the control plane says to a liar
  readonly body: any;
}

/** A refused join is answered after 5 s. */
const joinAnsweredWithinMs = 10_000;

/**
 * A worker with a token of its own that lies: written against the documented calls, it sends what the SDK never would.
 * Everything it is answered goes into its journal, for the auditor to find what it should not have seen or been granted.
 * Between its lies it is honest, so that it has something to lie about: it claims jobs, ends some, and lets go of the rest.
 */
export class LyingWorker implements Disposable {
  readonly #options: LiarOptions;
  readonly #journal: Journal;
  #keys: { privateKey: CryptoKey; publicJwk: { kty: "EC"; crv: "P-256"; x: string; y: string } } | undefined;
  #token: { value: string; renewAt: number } | undefined;
  readonly #completed: (Attempt & { result: unknown })[] = [];
  #lying: Promise<void> = Promise.resolve();
  workerId: string | undefined;

  constructor(options: LiarOptions) {
    this.#options = options;
    this.#journal = new Journal(join(options.folder, "journal.jsonl"));
  }

  async enroll(): Promise<void> {
    const { enrollmentToken, slots } = this.#options;
    const pair = await generateKeyPair("ES256", { extractable: true });
    const { x, y } = await exportJWK(pair.publicKey);
    this.#keys = { privateKey: pair.privateKey, publicJwk: { kty: "EC", crv: "P-256", x: x!, y: y! } };
    const proof = await makeDeviceProof(this.#keys, { kind: "enroll", token: enrollmentToken });
    const { publicJwk } = this.#keys;
    const request = {
      token: enrollmentToken,
      publicJwk,
      proof,
      name: "liar",
      capabilities: ["compute/campaign"],
      slots,
    };
    const { status, body } = await this.#post("/functions/v1/enroll", request);
    if (status !== 201) throw new Error(`Cannot enroll the lying worker: ${status} ${JSON.stringify(body)}`);
    this.workerId = body.workerId;
    this.#take(body);
  }

  /** Tells one kind of lie, after the one before. A project that cannot be reached is no answer. */
  lie(kind: FaultKind): Promise<void> {
    return this.#lying = this.#lying.then(() => this.#tell(kind));
  }

  async #tell(kind: FaultKind): Promise<void> {
    try {
      await this.#refresh();
      // What it still holds would make its lies true.
      await this.#letGo();
      switch (kind) {
        case "lie: complete what others hold":
          return await this.#completeForeignAttempts(this.#options.jobIds());
        case "lie: flood of progress":
          return await this.#flood();
        case "lie: claim more than its slots":
          return await this.#claimTooMuch();
        case "lie: repeat old completions":
          return await this.#repeat();
        case "lie: reach into another tenant":
          return await this.#reachOver();
      }
    } catch (error) {
      this.#say({ did: "fail", lie: kind, error: String(error) });
    }
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }

  /** Attempts it does not hold, among the newest jobs: every likely number, each in a call of its own. */
  async #completeForeignAttempts(ids: readonly string[]): Promise<void> {
    const own = new Set(this.#completed.map(({ job_id }) => job_id));
    const foreign = ids.slice(-60).filter((id) => !own.has(id));
    for (const attempt of [1, 2, 3]) {
      const results = foreign.map((job_id) => ({
        ...{ job_id, attempt, status: "succeeded", result: { execution: "forged by the liar" } },
      }));
      const { body } = await this.#rpc("complete_jobs", { results, want: 0 });
      this.#say({ did: "forge", attempt, asked: foreign, got: body });
    }
  }

  /** Thousands of events: of attempts that are not its own, and of one that is. */
  async #flood(): Promise<void> {
    const { random, jobIds } = this.#options;
    const send = (make: (number: number) => object) =>
      Promise.all(Array.from({ length: 10 }, (_, call) => {
        const events = Array.from({ length: 500 }, (_, index) => make(call * 500 + index + 1));
        return this.#rpc("report_events", { events });
      }));
    const foreign = [crypto.randomUUID(), ...jobIds().slice(-20)];
    const answers = await send((number) => ({
      ...{ job_id: random.pick(foreign), attempt: random.between(1, 3), number, kind: "progress" },
      data: { fraction: 0.99, note: "liar" },
    }));
    for (const { body } of answers) this.#say({ did: "flood", accepted: body?.accepted ?? null });

    const [own] = await this.#claim([1]);
    if (own === undefined) return;
    const { job_id, attempt, execution } = own;
    await send((number) => ({ job_id, attempt, number, kind: "progress", data: { fraction: 0.5, note: execution } }));
    await this.#complete([own]);
  }

  /** Claims many times its slots in several calls at once; ends some of what it got, and lets go of the rest. */
  async #claimTooMuch(): Promise<void> {
    const claimed = await this.#claim([50, 256, 100_000, 50]);
    await this.#complete(claimed.filter(() => this.#options.random.chance(0.5)));
    await this.#letGo();
  }

  /** Reports for work and claims, in as many calls at once as there are numbers. */
  async #claim(wants: readonly number[]): Promise<Held[]> {
    const worker = { capabilities: ["compute/campaign"], slots: this.#options.slots, listening: false };
    await this.#rpc("hello", { worker, running: [] });
    const answers = await Promise.all(wants.map((want) => this.#rpc("claim_jobs", { want })));
    const jobs: (Attempt & { payload: { key: string; tenant: string } })[] = answers.flatMap(({ body }) =>
      body?.jobs ?? []
    );
    return jobs.map(({ job_id, attempt, payload: { tenant, key } }) => {
      const execution = crypto.randomUUID();
      this.#say({ did: "begin", job: job_id, attempt, execution, tenant, key });
      return { job_id, attempt, execution, tenant };
    });
  }

  async #complete(held: readonly Held[]): Promise<void> {
    const results = held.map(({ job_id, attempt, execution, tenant }) => {
      this.#say({ did: "end", job: job_id, attempt, execution, outcome: "succeeded" });
      return { job_id, attempt, status: "succeeded", result: { execution, job: job_id, attempt, tenant, filling: "" } };
    });
    await this.#rpc("complete_jobs", { results, want: 0 });
    this.#completed.push(...results);
  }

  async #letGo(): Promise<void> {
    const { status } = await this.#rpc("goodbye", { reason: "the liar lets go" });
    if (status !== 200) throw new Error(`No goodbye: ${status}`);
  }

  /** Old completions again, as they were and with another value. */
  async #repeat(): Promise<void> {
    const old = this.#completed.slice(-20);
    const changed = old.map((result) => ({ ...result, result: { execution: "repeated by the liar" } }));
    for (const results of [old, changed]) {
      const { body } = await this.#rpc("complete_jobs", { results, want: 0 });
      this.#say({ did: "repeat", got: body });
    }
  }

  async #reachOver(): Promise<void> {
    const { foreignJobIds, foreignWorkerIds, random } = this.#options;
    await this.#completeForeignAttempts(foreignJobIds());
    const running = foreignJobIds().slice(-50).map((job_id) => ({ job_id, attempt: 1 }));
    const worker = { capabilities: ["compute/campaign"], slots: this.#options.slots, listening: false };
    for (const [name, parameters] of Object.entries({ hello: { worker, running }, heartbeat: { running, want: 0 } })) {
      this.#say({ did: "reach", path: name, got: (await this.#rpc(name, parameters)).body });
    }
    await this.#letGo();
    for (const path of ["/rest/v1/jobs?limit=5", "/rest/v1/job_events?limit=5", "/rest/v1/worker_devices?limit=5"]) {
      this.#say({ did: "reach", path, got: (await this.#get(path)).body });
    }
    const workers = foreignWorkerIds();
    if (workers.length > 0) await this.#listenTo(`worker:${random.pick(workers)}:tasks`);
    const jobs = foreignJobIds().slice(-5);
    if (jobs.length > 0) await this.#listenTo(`job:${random.pick(jobs)}`);
  }

  /** Tries to join a private channel, and writes down all that it hears until it is answered. */
  async #listenTo(topic: string): Promise<void> {
    const { url, publishableKey } = this.#options;
    const address = `${url.replace(/^http/, "ws")}/realtime/v1/websocket?apikey=${publishableKey}&vsn=1.0.0`;
    const socket = new WebSocket(address);
    const heard: unknown[] = [];
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(resolve, joinAnsweredWithinMs);
      socket.onopen = () =>
        socket.send(JSON.stringify({
          ...{ topic: `realtime:${topic}`, event: "phx_join", ref: "1", join_ref: "1" },
          payload: { config: { private: true }, access_token: this.#token?.value },
        }));
      const end = () => {
        clearTimeout(giveUp);
        resolve();
      };
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(String(data));
        heard.push(message);
        if (message.event === "phx_reply" && message.ref === "1") end();
      };
      socket.onclose = socket.onerror = end;
    });
    socket.close();
    this.#say({ did: "listen", topic, heard });
  }

  async #refresh(): Promise<void> {
    if (this.#token !== undefined && performance.now() < this.#token.renewAt) return;
    const workerId = this.workerId!;
    const proof = await makeDeviceProof(this.#keys!, { kind: "refresh", workerId });
    const { status, body } = await this.#post("/functions/v1/enroll/refresh", { workerId, proof });
    if (status !== 200) throw new Error(`No token: ${status} ${JSON.stringify(body)}`);
    this.#take(body);
  }

  #take({ accessToken, expiresIn }: { accessToken: string; expiresIn: number }): void {
    this.#token = { value: accessToken, renewAt: performance.now() + expiresIn * 800 };
  }

  #rpc(name: string, parameters: unknown): Promise<Answer> {
    return this.#post(`/rest/v1/rpc/${name}`, parameters, {
      ...{ authorization: `Bearer ${this.#token?.value}`, "content-profile": "muster" },
    });
  }

  #post(path: string, json: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#call(path, { method: "POST", body: JSON.stringify(json), headers });
  }

  #get(path: string): Promise<Answer> {
    return this.#call(path, {
      headers: { authorization: `Bearer ${this.#token?.value}`, "accept-profile": "muster" },
    });
  }

  async #call(
    path: string,
    init: { method?: string; body?: string; headers: Record<string, string> },
  ): Promise<Answer> {
    const response = await fetch(this.#options.url + path, {
      ...init,
      headers: { apikey: this.#options.publishableKey, "content-type": "application/json", ...init.headers },
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    let body: unknown = text;
    try {
      body = JSON.parse(text);
    } catch { /* told as it is */ }
    return { status: response.status, body };
  }

  #say(entry: object): void {
    this.#journal.write(entry);
  }
}
