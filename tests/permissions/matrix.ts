/**
 * Who may do what, written out. The tests beside this file hold every function, table and channel of the database
 * against it, tests/contract/permissions.test.ts every route; what has no row here fails them.
 */
import { readTextTable } from "./text-table.ts";

/**
 * Calls of the functions of schema `muster`. `ok` is carried out; MU… is that refusal (docs/errors.md); `-` has no door
 * at all. A function that takes a caller is called with the one the Edge Functions name, all others are called
 * as the role of the column, and so is every function by visitors, apps and workers.
 *
 * `other admin` and `other worker` belong to another tenant and name what belongs to this one: `none` is carried out
 * and finds nothing of this tenant.
 */
export const functions = readTextTable(`
                             anon  outsider  viewer  publisher  editor  admin  other admin  key: read  key: submit  key: operate  client  worker  other worker  service
  add_member                 -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  authorize_artifact_finish  -     MU002     MU002   MU002      ok      ok     MU003        MU002      ok           MU002         -       ok      MU003         ok
  authorize_client           -     MU002     MU002   MU002      MU002   MU002  MU002        ok         ok           ok            -       -       -             MU002
  authorize_secrets          -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  bootstrap_tenant           -     MU002     MU002   MU002      MU002   MU002  MU002        MU002      MU002        MU002         -       -       -             ok
  bridge_queue               -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  cancel_jobs                -     MU002     MU002   MU002      ok      ok     MU003        MU002      ok           MU002         -       -       -             ok
  change_member_role         -     MU002     MU002   MU002      MU002   ok     MU003        MU002      MU002        MU002         -       -       -             ok
  change_schedule            -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        MU002         -       -       -             ok
  charge_address             -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  charge_refusal             -     ok        ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  claim_jobs                 -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  close_batch                -     MU002     MU002   MU002      ok      ok     MU003        MU002      ok           MU002         -       -       -             ok
  complete_jobs              -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  cordon_worker              -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  create_api_key             -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  create_artifact            -     MU002     MU002   MU002      ok      ok     none         MU002      ok           MU002         -       ok      MU006         ok
  create_enrollment_token    -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  create_realtime_trigger    -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  create_schedule            -     MU002     MU002   MU002      ok      ok     none         MU002      MU002        MU002         -       -       -             ok
  create_tenant              -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  delete_schedule            -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  delete_secret              -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  dismiss_dead_letters       -     MU002     MU002   MU002      ok      ok     none         MU002      ok           MU002         -       -       -             ok
  drain_worker               -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  enroll_worker              -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  explain_job                -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       -       -             ok
  explain_submission         -     MU002     MU002   MU002      ok      ok     none         MU002      ok           MU002         -       -       -             ok
  finish_artifact            -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  get_artifact               -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       ok      MU003         ok
  get_job                    -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       -       -             ok
  get_limits                 -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  get_load                   -     MU002     MU002   MU002      ok      ok     none         MU002      MU002        ok            -       -       -             ok
  get_schedule               -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       -       -             ok
  get_worker                 -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       -       -             ok
  goodbye                    -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  health                     -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  heartbeat                  -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  hello                      -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  hold_resources             -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  issue_api_key              -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  issue_enrollment_token     -     MU002     MU002   MU002      ok      ok     none         MU002      MU002        ok            -       -       -             ok
  list_api_keys              -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_artifacts             -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       -       -             ok
  list_audit                 -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  list_concurrency_keys      -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_dead_letters          -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_enrollment_tokens     -     MU002     MU002   MU002      ok      ok     none         MU002      MU002        ok            -       -       -             ok
  list_job_events            -     MU002     ok      ok         ok      ok     MU003        ok         ok           ok            -       -       -             ok
  list_jobs                  -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_members               -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_schedules             -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_resources             -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_rate_limits           -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_secrets               -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  list_secrets_to_rotate     -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  list_tenants               -     ok        ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  list_workers               -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  open_secrets               -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  pause_schedule             -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  prepare_secret             -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  preview_schedule           -     MU002     ok      ok         ok      ok     none         ok         ok           ok            -       -       -             ok
  rebind_job                 -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  refresh_worker             -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  reject_artifact            -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  release_resources          -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  remove_member              -     MU002     MU002   MU002      MU002   ok     MU003        MU002      MU002        MU002         -       -       -             ok
  replay_dead_letters        -     MU002     MU002   MU002      ok      ok     none         MU002      ok           MU002         -       -       -             ok
  report_events              -     -         -       -          -       -      -            -          -            -             -       ok      none          -
  resume_schedule            -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        MU002         -       -       -             ok
  resume_worker              -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  retry_job                  -     MU002     MU002   MU002      ok      ok     MU003        MU002      ok           MU002         -       -       -             ok
  revoke_api_key             -     MU002     MU002   MU002      MU002   ok     MU003        MU002      MU002        MU002         -       -       -             ok
  revoke_enrollment_token    -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  revoke_worker              -     MU002     MU002   MU002      MU002   ok     MU003        MU002      MU002        MU002         -       -       -             ok
  rotate_api_key             -     MU002     MU002   MU002      MU002   ok     MU003        MU002      MU002        MU002         -       -       -             ok
  rotate_secrets             -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  rotate_worker_key          -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  run_schedule               -     MU002     MU002   MU002      ok      ok     MU003        MU002      ok           MU002         -       -       -             ok
  set_audit_retention        -     MU002     MU002   MU002      MU002   MU002  MU002        MU002      MU002        MU002         -       -       -             ok
  set_concurrency_key        -     MU002     MU002   MU002      ok      ok     none         MU002      MU002        ok            -       -       -             ok
  set_limits                 -     MU002     MU002   MU002      MU002   MU002  MU002        MU002      MU002        MU002         -       -       -             ok
  set_measured_capabilities  -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  set_secret                 -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
  submit_jobs                -     MU002     MU002   MU002      ok      ok     none         MU002      ok           MU002         -       -       -             ok
  tick                       -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  unbridge_queue             -     -         -       -          -       -      -            -          -            -             -       -       -             ok
  uncordon_worker            -     MU002     MU002   MU002      ok      ok     MU003        MU002      MU002        ok            -       -       -             ok
  verify_audit               -     MU002     MU002   MU002      MU002   ok     none         MU002      MU002        MU002         -       -       -             ok
`);

/** Rows that a select shows: `-` may not select, `none` of them, those of its `own` tenant, `mine` alone, or `all`. */
export const tables = readTextTable(`
                                  anon  outsider  viewer  publisher  editor  admin  client  worker  other worker  service
  muster.affinities               -     none      own     own        own     own    -       -       -             all
  muster.api_keys                 -     none      none    none       none    none   -       -       -             all
  muster.artifacts                -     none      own     own        own     own    -       -       -             all
  muster.audit_log                -     none      none    none       none    own    -       -       -             all
  muster.concurrency_keys         -     none      none    none       none    none   -       -       -             all
  muster.dead_letters             -     none      own     own        own     own    -       -       -             all
  muster.enrollment_tokens        -     none      none    none       none    none   -       -       -             all
  muster.executors                -     none      own     own        own     own    -       -       -             all
  muster.job_classes              -     none      none    none       none    none   -       -       -             all
  muster.job_dependencies         -     none      own     own        own     own    -       -       -             all
  muster.job_events               -     none      own     own        own     own    mine    -       -             all
  muster.job_inputs               -     none      own     own        own     own    -       -       -             all
  muster.jobs                     -     none      own     own        own     own    mine    -       -             all
  muster.late_results             -     none      own     own        own     own    mine    -       -             all
  muster.stored_events            -     none      own     own        own     own    mine    -       -             all
  muster.members                  -     none      own     own        own     own    -       -       -             all
  muster.queue_bridges            -     none      own     own        own     own    -       -       -             all
  muster.schedules                -     none      own     own        own     own    -       -       -             all
  muster.resource_holders         -     none      own     own        own     own    -       -       -             all
  muster.rate_limits              -     none      none    none       none    none   -       -       -             all
  muster.secrets                  -     none      none    none       none    none   -       -       -             all
  muster.tenant_limits            -     none      own     own        own     own    -       -       -             all
  muster.tenants                  -     none      own     own        own     own    -       -       -             all
  muster.worker_classes           -     none      none    none       none    none   -       -       -             all
  muster.worker_devices           -     none      own     own        own     own    -       -       -             all
  muster.worker_heartbeats        -     none      own     own        own     own    -       -       -             all
  muster_private.admitted_jobs    -     -         -       -          -       -      -       -       -             -
  muster_private.affinity_sweep   -     -         -       -          -       -      -       -       -             -
  muster_private.artifact_usage   -     -         -       -          -       -      -       -       -             -
  muster_private.audit_chains     -     -         -       -          -       -      -       -       -             -
  muster_private.audit_inbox      -     -         -       -          -       -      -       -       -             -
  muster_private.blocked_jobs     -     -         -       -          -       -      -       -       -             -
  muster_private.commit_inbox     -     -         -       -          -       -      -       -       -             -
  muster_private.free_workers     -     -         -       -          -       -      -       -       -             -
  muster_private.held_jobs        -     -         -       -          -       -      -       -       -             -
  muster_private.job_deadlines    -     -         -       -          -       -      -       -       -             -
  muster_private.kept_jobs        -     -         -       -          -       -      -       -       -             -
  muster_private.queue_leftovers  -     -         -       -          -       -      -       -       -             -
  muster_private.queue_messages   -     -         -       -          -       -      -       -       -             -
  muster_private.open_children    -     -         -       -          -       -      -       -       -             -
  muster_private.open_dependencies  -     -         -       -          -       -      -       -       -             -
  muster_private.rate_buckets     -     -         -       -          -       -      -       -       -             -
  muster_private.rated_jobs       -     -         -       -          -       -      -       -       -             -
  muster_private.ready_jobs       -     -         -       -          -       -      -       -       -             -
  muster_private.refused_joins    -     -         -       -          -       -      -       -       -             -
  muster_private.retention_places  -    -         -       -          -       -      -       -       -             -
  muster_private.scheduled_jobs   -     -         -       -          -       -      -       -       -             -
  muster_private.scheduler_state  -     -         -       -          -       -      -       -       -             -
  muster_private.sweep_places     -     -         -       -          -       -      -       -       -             -
  muster_private.unsettled_jobs   -     -         -       -          -       -      -       -       -             -
  muster_private.used_proofs      -     -         -       -          -       -      -       -       -             -
  muster_private.waiting_counts   -     -         -       -          -       -      -       -       -             -
  muster_private.wakeups          -     -         -       -          -       -      -       -       -             -
`);

/**
 * Private channels. `b` reads broadcasts, `B` sends them; `p` reads presence, `P` shows it; `-` may not join. The
 * service role goes by no policies.
 */
export const channels = readTextTable(`
                              anon  outsider  viewer  publisher  editor  admin  client  worker  other worker
  worker:<own>:tasks          -     -         -       -          -       -      -       bp      -
  worker:<peer>:tasks         -     -         -       -          -       -      -       -       -
  worker:<other>:tasks        -     -         -       -          -       -      -       -       bp
  worker:<own>:events         -     -         bp      bp         bp      bp     -       -       -
  worker:<other>:events       -     -         -       -          -       -      -       -       -
  executor:<own>:tasks        -     -         -       -          -       -      bp      -       -
  executor:<sibling>:tasks    -     -         -       -          -       -      -       -       -
  executor:<other>:tasks      -     -         -       -          -       -      -       -       -
  job:<own>                   -     -         bp      bp         bp      bp     bp      -       -
  job:<sibling's>             -     -         bp      bp         bp      bp     -       -       -
  job:<other>                 -     -         -       -          -       -      -       -       -
  fleet:<own>:presence        -     -         bp      bp         bp      bp     -       bP      -
  fleet:<other>:presence      -     -         -       -          -       -      -       -       bP
  worker-wakeup:<own>         -     -         -       -          -       -      -       bp      -
  worker-wakeup:<other>       -     -         -       -          -       -      -       -       bp
  anything else               -     -         -       -          -       -      -       -       -
`);

/**
 * Routes of the Edge Functions: `ok` is let in, 401 not known, 403 may not, 404 of another tenant; `none` is let in and
 * finds nothing of this tenant. `nobody` sends no credentials, `visitor` the publishable key.
 */
export const routes = readTextTable(`
                                         nobody  visitor  outsider  viewer  publisher  editor  admin  other admin  key: read  key: submit  key: operate  client  worker  other worker  service
  DELETE /schedules/{id}                 401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  GET /api/errors                        ok      ok       ok        ok      ok         ok      ok     none         ok         ok           ok            ok      ok      none          ok
  GET /api/errors/{code}                 ok      ok       ok        ok      ok         ok      ok     none         ok         ok           ok            ok      ok      none          ok
  GET /api/messages.json                 ok      ok       ok        ok      ok         ok      ok     none         ok         ok           ok            ok      ok      none          ok
  GET /api/openapi.json                  ok      ok       ok        ok      ok         ok      ok     none         ok         ok           ok            ok      ok      none          ok
  GET /api/reference                     ok      ok       ok        ok      ok         ok      ok     none         ok         ok           ok            ok      ok      none          ok
  GET /artifacts                         401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  GET /artifacts/{id}                    401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     ok      404           ok
  GET /artifacts/{id}/download           401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     ok      404           ok
  GET /audit                             401     401      403       403     403        403     ok     none         403        403          403           401     403     403           ok
  GET /audit/verify                      401     401      403       403     403        403     ok     none         403        403          403           401     403     403           ok
  GET /enroll/tokens                     401     401      403       403     403        ok      ok     none         403        403          ok            401     403     403           ok
  GET /health                            ok      ok       ok        ok      ok         ok      ok     none         ok         ok           ok            ok      ok      none          ok
  GET /jobs                              401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /jobs/concurrency-keys             401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /jobs/rate-limits                  401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /jobs/dead-letters                 401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /jobs/{id}                         401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  GET /jobs/{id}/events                  401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  GET /jobs/{id}/explain                 401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  GET /jobs/{id}/wait                    401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  GET /schedules                         401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /schedules/{id}                    401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  GET /secrets                           401     401      403       403     403        403     ok     none         403        403          403           401     403     403           ok
  GET /tenants                           401     401      ok        ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /tenants/api-keys                  401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /tenants/limits                    401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /tenants/members                   401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /workers                           401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /workers/resources                 401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  GET /workers/{id}                      401     401      403       ok      ok         ok      ok     404          ok         ok           ok            401     403     403           ok
  PATCH /schedules/{id}                  401     401      403       403     403        ok      ok     404          403        403          403           401     403     403           ok
  POST /artifacts                        401     401      403       403     403        ok      ok     none         403        ok           403           401     ok      none          ok
  POST /artifacts/{id}/finish            401     401      403       403     403        ok      ok     404          403        ok           403           401     ok      404           ok
  POST /audit/retention                  401     401      403       403     403        403     403    403          403        403          403           401     403     403           ok
  POST /enroll                           ok      ok       ok        ok      ok         ok      ok     ok           ok         ok           ok            ok      ok      ok            ok
  POST /enroll/client-token              401     401      403       403     403        403     403    403          ok         ok           ok            401     403     403           403
  POST /enroll/refresh                   ok      ok       ok        ok      ok         ok      ok     ok           ok         ok           ok            ok      ok      ok            ok
  POST /enroll/rotate                    ok      ok       ok        ok      ok         ok      ok     ok           ok         ok           ok            ok      ok      ok            ok
  POST /enroll/tokens                    401     401      403       403     403        ok      ok     none         403        403          ok            401     403     403           ok
  POST /enroll/tokens/{id}/revoke        401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /jobs                             401     401      403       403     403        ok      ok     none         403        ok           403           401     403     403           ok
  POST /jobs/dead-letters/dismiss        401     401      403       403     403        ok      ok     none         403        ok           403           401     403     403           ok
  POST /jobs/dead-letters/replay         401     401      403       403     403        ok      ok     none         403        ok           403           401     403     403           ok
  POST /jobs/explain                     401     401      403       403     403        ok      ok     none         403        ok           403           401     403     403           ok
  POST /jobs/{id}/cancel                 401     401      403       403     403        ok      ok     404          403        ok           403           401     403     403           ok
  POST /jobs/{id}/rebind                 401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /jobs/{id}/close                  401     401      403       403     403        ok      ok     404          403        ok           403           401     403     403           ok
  POST /jobs/{id}/retry                  401     401      403       403     403        ok      ok     404          403        ok           403           401     403     403           ok
  POST /schedules                        401     401      403       403     403        ok      ok     none         403        403          403           401     403     403           ok
  POST /schedules/preview                401     401      403       ok      ok         ok      ok     none         ok         ok           ok            401     403     403           ok
  POST /schedules/{id}/pause             401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /schedules/{id}/resume            401     401      403       403     403        ok      ok     404          403        403          403           401     403     403           ok
  POST /schedules/{id}/run               401     401      403       403     403        ok      ok     404          403        ok           403           401     403     403           ok
  POST /secrets                          401     401      403       403     403        403     ok     none         403        403          403           401     403     403           ok
  POST /secrets/open                     401     401      403       403     403        403     403    403          403        403          403           401     ok      401           403
  POST /secrets/rotate-master-key        401     401      403       403     403        403     403    403          403        403          403           401     403     403           ok
  POST /secrets/{name}/delete            401     401      403       403     403        403     ok     404          403        403          403           401     403     403           ok
  POST /tenants                          401     401      403       403     403        403     403    403          403        403          403           401     403     403           ok
  POST /tenants/api-keys                 401     401      403       403     403        403     ok     none         403        403          403           401     403     403           ok
  POST /tenants/api-keys/{id}/revoke     401     401      403       403     403        403     ok     404          403        403          403           401     403     403           ok
  POST /tenants/api-keys/{id}/rotate     401     401      403       403     403        403     ok     404          403        403          403           401     403     403           ok
  POST /tenants/limits                   401     401      403       403     403        403     403    403          403        403          403           401     403     403           ok
  POST /tenants/members                  401     401      403       403     403        403     ok     none         403        403          403           401     403     403           ok
  POST /tenants/members/{userId}/remove  401     401      403       403     403        403     ok     404          403        403          403           401     403     403           ok
  POST /tenants/members/{userId}/role    401     401      403       403     403        403     ok     404          403        403          403           401     403     403           ok
  POST /workers/{id}/cordon              401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /workers/{id}/drain               401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /workers/{id}/resume              401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /workers/{id}/revoke              401     401      403       403     403        403     ok     404          403        403          403           401     403     403           ok
  PUT /workers/{id}/measured-capabilities  401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  POST /workers/{id}/uncordon            401     401      403       403     403        ok      ok     404          403        403          ok            401     403     403           ok
  PUT /jobs/concurrency-keys/{key}       401     401      403       403     403        ok      ok     none          403        403          ok            401     403     403           ok
`);
