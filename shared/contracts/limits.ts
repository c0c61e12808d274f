/** The bounds that functions, SDKs and SQL keep alike. Bytes are those of UTF-8 text, seconds are whole. */
export const limits = {
  /** A job's payload or result, as JSON text. Larger values travel as artifacts. */
  payloadBytes: 256 * 1024,
  /** One `POST /jobs` with all its jobs. */
  batchBytes: 8 * 1024 * 1024,
  /** Any other request body. */
  bodyBytes: 2 * 1024 * 1024,
  jobsPerSubmit: 1_000,
  jsonDepth: 100,
  capabilities: 100,
  capabilityLength: 100,
  labels: 50,
  labelKeyLength: 63,
  labelValueLength: 255,
  requires: 20,
  /** Of label expressions in `where`, and as many in `prefer`; of those with semver or matches in both. */
  expressions: 20,
  costlyExpressions: 5,
  labelValues: 50,
  versionRangeLength: 100,
  patternLength: 200,
  patternsPerSubmit: 20,
  weight: 100,
  resources: 20,
  inputs: 100,
  slots: 256,
  nameLength: 100,
  typeLength: 200,
  keyLength: 255,
  emailLength: 320,
  membersPerTenant: 1_000,
  executorsPerTenant: 1_000,
  /** Those that can be used: revoked and expired ones do not count. */
  apiKeysPerExecutor: 100,
  enrollmentTokensPerTenant: 1_000,
  enrollmentTokenUses: 999_999_999,
  cidrs: 100,
  schedulesPerTenant: 1_000,
  cronLength: 200,
  /** By how much at most a run of a schedule starts later than its time. */
  jitterSeconds: 3_600,
  previewedRuns: 100,
  /** For how long at most a rotated API key stays good beside the new one. */
  overlapSeconds: 30 * 24 * 3600,
  reasonLength: 1_000,
  errorMessageBytes: 8 * 1024,
  eventsPerCall: 500,
  eventDataBytes: 16 * 1024,
  eventsPerJob: 100_000,
  /** The results or the events of one call of a worker. */
  callBytes: 8 * 1024 * 1024,
  artifactBytes: 50 * 1024 * 1024,
  artifactNameLength: 255,
  priority: 100,
  attempts: 20,
  timeoutSeconds: 7 * 24 * 3600,
  retrySeconds: 24 * 3600,
  concurrency: 1_000,
  /** Jobs that one job comes after, and that the jobs of one request name in all. */
  after: 100,
  afterPerSubmit: 10_000,
  /** Units of a rate limit and of its burst, and the time they are for. */
  rateUnits: 1_000_000,
  ratePeriodSeconds: 24 * 3600,
  /** A batch's idempotency key: those of its jobs are made of it. */
  batchKeyLength: 200,
  jobsPerBatch: 100_000,
  /** Codes in a job's `finalErrors`, and the characters of one. */
  finalErrors: 20,
  errorCodeLength: 100,
  fairnessWeight: 100,
  /** Letters that one call replays or dismisses. */
  deadLetters: 1_000,
  pageSize: 200,
  eventsPerPage: 500,
  waitSeconds: 55,
  /** A `task.result` carries the result up to this size; beyond it, the listener reads the job. */
  messageResultBytes: 64 * 1024,
  /** How far a device proof's `iat` may be from the server's clock, and thus how long its `jti` is remembered. */
  proofSeconds: 60,
  /** A secret's value in UTF-8, and the least it has in characters: shorter ones could not be masked in logs. */
  secretBytes: 16 * 1024,
  secretLength: 6,
  secretNameLength: 100,
  secretTypes: 20,
  secretsPerJob: 20,
  /** Named resources that a worker holds, and how many of them one call tells of. */
  resourcesHeld: 1_000,
  resourcesPerCall: 100,
  resourceMetadataBytes: 4 * 1024,
  resourceLeaseLeastSeconds: 10,
  /** One `POST /secrets`: a value may take six times its size as JSON. */
  secretBodyBytes: 128 * 1024,
} as const;
