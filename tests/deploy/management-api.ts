import { Hono } from "hono";
import { z } from "zod";

/** What the CLI says about a function that it uploads. */
const Metadata = z.object({
  name: z.string(),
  entrypoint_path: z.string(),
  // Empty where a function has none.
  import_map_path: z.string().transform((path) => path === "" ? undefined : path).optional(),
  static_patterns: z.array(z.string()).optional(),
  // Left out by the CLI where config.toml says nothing.
  verify_jwt: z.boolean().default(true),
});
export type Metadata = z.infer<typeof Metadata>;

/** A function as the stand-in has it now. */
export interface DeployedFunction {
  readonly id: string;
  readonly slug: string;
  readonly version: number;
  readonly metadata: Metadata;
  /** The uploaded files by their paths relative to the root of the tree. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

export interface ManagementApi extends AsyncDisposable {
  readonly url: string;
  /** The one project it has: 20 lower-case letters, as a project's reference is. */
  readonly projectRef: string;
  /** The one token it accepts. */
  readonly accessToken: string;
  /** What is deployed now, by slug. Bundles that were sent but never released are not in it. */
  readonly deployed: ReadonlyMap<string, DeployedFunction>;
  /** The functions' secrets that are set now. */
  readonly secrets: ReadonlyMap<string, string>;
  /** Every request so far, as "POST /v1/projects/…". */
  readonly requests: readonly string[];
}

/**
 * A stand-in for the part of Supabase's Management API that deploying Muster calls: functions (bundle each, then release
 * all at once) and their secrets. It keeps what was uploaded, and refuses what the platform would refuse.
 */
export function startManagementApi(): ManagementApi {
  const projectRef = "musterstandinproject";
  const accessToken = `sbp_${"0123456789abcdef".repeat(3).slice(0, 40)}`;
  const deployed = new Map<string, DeployedFunction>();
  const bundles = new Map<string, DeployedFunction>();
  const requests: string[] = [];
  const secrets = new Map<string, string>();

  const app = new Hono();
  app.use(async (c, next) => {
    requests.push(`${c.req.method} ${c.req.path}`);
    if (c.req.header("authorization") !== `Bearer ${accessToken}`) return c.json({ message: "Unauthorized" }, 401);
    await next();
  });
  app.get("/v1/projects/:ref", (c) => {
    if (c.req.param("ref") !== projectRef) return c.json({ message: "Project not found" }, 404);
    return c.json({
      id: projectRef,
      ref: projectRef,
      name: "stand-in",
      organization_id: "stand-in",
      organization_slug: "stand-in",
      region: "eu-west-1",
      status: "ACTIVE_HEALTHY",
      created_at: "2026-01-01T00:00:00Z",
    });
  });

  const project = `/v1/projects/${projectRef}`;
  app.get(`${project}/functions`, (c) => c.json([...deployed.values()].map(described)));
  app.post(`${project}/functions/deploy`, async (c) => {
    const bundle = await readBundle(await c.req.formData(), c.req.query("slug"), deployed);
    if (typeof bundle === "string") return c.json({ message: bundle }, 400);
    if (c.req.query("bundleOnly") === "true") bundles.set(bundle.id, bundle);
    else deployed.set(bundle.slug, bundle);
    return c.json(described(bundle), 201);
  });
  app.put(`${project}/functions`, async (c) => {
    const released = z.array(z.object({ id: z.string() })).parse(await c.req.json()).map(({ id }) => bundles.get(id));
    if (released.includes(undefined)) return c.json({ message: "Unknown bundle" }, 400);
    for (const bundle of released) if (bundle) deployed.set(bundle.slug, bundle);
    return c.json({ functions: [...deployed.values()].map(described) });
  });

  app.delete(`${project}/functions/:slug`, (c) => {
    return deployed.delete(c.req.param("slug")) ? c.body(null, 200) : c.json({ message: "Function not found" }, 404);
  });

  app.get(`${project}/secrets`, (c) => c.json([...secrets].map(([name, value]) => ({ name, value }))));
  app.post(`${project}/secrets`, async (c) => {
    const given = z.array(z.object({ name: z.string(), value: z.string() })).parse(await c.req.json());
    const reserved = given.find(({ name }) => name.startsWith("SUPABASE_"));
    if (reserved) return c.json({ message: `"${reserved.name}" may not begin with SUPABASE_` }, 400);
    for (const { name, value } of given) secrets.set(name, value);
    return c.json(null, 201);
  });
  app.delete(`${project}/secrets`, async (c) => {
    for (const name of z.array(z.string()).parse(await c.req.json())) secrets.delete(name);
    return c.json(null, 200);
  });

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, app.fetch);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    projectRef,
    accessToken,
    deployed,
    secrets,
    requests,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** The uploaded function, or why it is refused. */
async function readBundle(
  form: FormData,
  slug: string | undefined,
  deployed: ReadonlyMap<string, DeployedFunction>,
): Promise<DeployedFunction | string> {
  const metadata = Metadata.parse(JSON.parse(String(form.get("metadata"))));
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const file of form.getAll("file")) {
    if (file instanceof File) files.set(file.name, new Uint8Array(await file.arrayBuffer()));
  }
  if (slug === undefined || !/^[A-Za-z][\w-]*$/.test(slug)) return `Invalid slug "${slug}"`;
  for (const path of [metadata.entrypoint_path, metadata.import_map_path]) {
    if (path !== undefined && !files.has(path)) return `"${path}" was not uploaded`;
  }
  const before = deployed.get(slug);
  return { id: before?.id ?? crypto.randomUUID(), slug, version: (before?.version ?? 0) + 1, metadata, files };
}

function described({ id, slug, version, metadata }: DeployedFunction): Record<string, unknown> {
  return {
    id,
    slug,
    name: metadata.name,
    status: "ACTIVE",
    version,
    created_at: 0,
    updated_at: 0,
    verify_jwt: metadata.verify_jwt,
    import_map: metadata.import_map_path !== undefined,
    entrypoint_path: `file:///src/${metadata.entrypoint_path}`,
    ...(metadata.import_map_path === undefined ? {} : { import_map_path: `file:///src/${metadata.import_map_path}` }),
  };
}
