export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "muster": {
    Tables: {
      "affinities": {
        Row: {
          "expires_at": string;
          "is_hard": boolean;
          "key": string;
          "last_used_at": string;
          "tenant_id": string;
          "worker_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "expires_at": string;
          "is_hard"?: boolean;
          "key": string;
          "last_used_at": string;
          "tenant_id": string;
          "worker_id"?: string | null;
        };
        Update: {
          "expires_at"?: string;
          "is_hard"?: boolean;
          "key"?: string;
          "last_used_at"?: string;
          "tenant_id"?: string;
          "worker_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "affinities_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "affinities_tenant_id_worker_id_fkey";
            columns: ["tenant_id", "worker_id"];
            isOneToOne: false;
            referencedRelation: "worker_devices";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "api_keys": {
        Row: {
          "created_at": string;
          "executor_id": string;
          "expires_at": string | null;
          "hash": string;
          "id": string;
          "last_used_at": string | null;
          "prefix": string;
          "replaced_by": string | null;
          "revoked_at": string | null;
          "scopes": (string)[];
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "executor_id": string;
          "expires_at"?: string | null;
          "hash": string;
          "id"?: string;
          "last_used_at"?: string | null;
          "prefix": string;
          "replaced_by"?: string | null;
          "revoked_at"?: string | null;
          "scopes"?: (string)[];
          "tenant_id": string;
        };
        Update: {
          "created_at"?: string;
          "executor_id"?: string;
          "expires_at"?: string | null;
          "hash"?: string;
          "id"?: string;
          "last_used_at"?: string | null;
          "prefix"?: string;
          "replaced_by"?: string | null;
          "revoked_at"?: string | null;
          "scopes"?: (string)[];
          "tenant_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "api_keys_tenant_id_executor_id_fkey";
            columns: ["tenant_id", "executor_id"];
            isOneToOne: false;
            referencedRelation: "executors";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "artifacts": {
        Row: {
          "attempt": number | null;
          "content_type": string;
          "created_at": string;
          "error": string | null;
          "executor_id": string | null;
          "finished_at": string | null;
          "id": string;
          "job_id": string | null;
          "name": string;
          "path": string;
          "sha256": string;
          "size_bytes": number;
          "status": Database["muster"]["Enums"]["artifact_status"];
          "tenant_id": string;
          "worker_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "attempt"?: number | null;
          "content_type": string;
          "created_at": string;
          "error"?: string | null;
          "executor_id"?: string | null;
          "finished_at"?: string | null;
          "id"?: string;
          "job_id"?: string | null;
          "name": string;
          "path": string;
          "sha256": string;
          "size_bytes": number;
          "status"?: Database["muster"]["Enums"]["artifact_status"];
          "tenant_id": string;
          "worker_id"?: string | null;
        };
        Update: {
          "attempt"?: number | null;
          "content_type"?: string;
          "created_at"?: string;
          "error"?: string | null;
          "executor_id"?: string | null;
          "finished_at"?: string | null;
          "id"?: string;
          "job_id"?: string | null;
          "name"?: string;
          "path"?: string;
          "sha256"?: string;
          "size_bytes"?: number;
          "status"?: Database["muster"]["Enums"]["artifact_status"];
          "tenant_id"?: string;
          "worker_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "artifacts_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "jobs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "artifacts_tenant_id_executor_id_fkey";
            columns: ["tenant_id", "executor_id"];
            isOneToOne: false;
            referencedRelation: "executors";
            referencedColumns: ["tenant_id", "id"];
          },
          {
            foreignKeyName: "artifacts_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "artifacts_tenant_id_worker_id_fkey";
            columns: ["tenant_id", "worker_id"];
            isOneToOne: false;
            referencedRelation: "worker_devices";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "audit_log": {
        Row: {
          "action": string;
          "actor": NonNullable<Json>;
          "created_at": string;
          "data": NonNullable<Json>;
          "hash": string;
          "previous_hash": string;
          "seq": number;
          "subject": string;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "action": string;
          "actor": NonNullable<Json>;
          "created_at": string;
          "data"?: NonNullable<Json>;
          "hash": string;
          "previous_hash": string;
          "seq": number;
          "subject": string;
          "tenant_id": string;
        };
        Update: {
          "action"?: string;
          "actor"?: NonNullable<Json>;
          "created_at"?: string;
          "data"?: NonNullable<Json>;
          "hash"?: string;
          "previous_hash"?: string;
          "seq"?: number;
          "subject"?: string;
          "tenant_id"?: string;
        };
        Relationships: [];
      };
      "concurrency_keys": {
        Row: {
          "fixed": boolean;
          "key": string;
          "max_running": number;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "fixed"?: boolean;
          "key": string;
          "max_running"?: number;
          "tenant_id": string;
        };
        Update: {
          "fixed"?: boolean;
          "key"?: string;
          "max_running"?: number;
          "tenant_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "concurrency_keys_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "dead_letters": {
        Row: {
          "attempts": number;
          "dismissed_at": string | null;
          "error_code": string | null;
          "error_message": string | null;
          "failed_at": string;
          "job_id": string;
          "replayed_as": string | null;
          "replayed_at": string | null;
          "tenant_id": string;
          "type": string;
        };
        ComputedFields: never;
        Insert: {
          "attempts": number;
          "dismissed_at"?: string | null;
          "error_code"?: string | null;
          "error_message"?: string | null;
          "failed_at": string;
          "job_id": string;
          "replayed_as"?: string | null;
          "replayed_at"?: string | null;
          "tenant_id": string;
          "type": string;
        };
        Update: {
          "attempts"?: number;
          "dismissed_at"?: string | null;
          "error_code"?: string | null;
          "error_message"?: string | null;
          "failed_at"?: string;
          "job_id"?: string;
          "replayed_as"?: string | null;
          "replayed_at"?: string | null;
          "tenant_id"?: string;
          "type"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "dead_letters_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: true;
            referencedRelation: "jobs";
            referencedColumns: ["id"];
          },
        ];
      };
      "enrollment_tokens": {
        Row: {
          "capabilities": (string)[] | null;
          "cidrs": (unknown)[] | null;
          "created_at": string;
          "ephemeral": boolean;
          "expires_at": string | null;
          "hash": string;
          "id": string;
          "labels": NonNullable<Json>;
          "max_uses": number | null;
          "name": string;
          "revoked_at": string | null;
          "tenant_id": string;
          "use_count": number;
        };
        ComputedFields: never;
        Insert: {
          "capabilities"?: (string)[] | null;
          "cidrs"?: (unknown)[] | null;
          "created_at"?: string;
          "ephemeral"?: boolean;
          "expires_at"?: string | null;
          "hash": string;
          "id"?: string;
          "labels"?: NonNullable<Json>;
          "max_uses"?: number | null;
          "name": string;
          "revoked_at"?: string | null;
          "tenant_id": string;
          "use_count"?: number;
        };
        Update: {
          "capabilities"?: (string)[] | null;
          "cidrs"?: (unknown)[] | null;
          "created_at"?: string;
          "ephemeral"?: boolean;
          "expires_at"?: string | null;
          "hash"?: string;
          "id"?: string;
          "labels"?: NonNullable<Json>;
          "max_uses"?: number | null;
          "name"?: string;
          "revoked_at"?: string | null;
          "tenant_id"?: string;
          "use_count"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "enrollment_tokens_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "executors": {
        Row: {
          "created_at": string;
          "id": string;
          "name": string;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "id"?: string;
          "name": string;
          "tenant_id": string;
        };
        Update: {
          "created_at"?: string;
          "id"?: string;
          "name"?: string;
          "tenant_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "executors_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "job_classes": {
        Row: {
          "created_at": string;
          "digest": string;
          "expressions": NonNullable<Json>;
          "id": number;
          "labels": NonNullable<Json>;
          "preferences": NonNullable<Json>;
          "requires": (string)[];
          "resources": NonNullable<Json>;
          "slots": number;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "digest": string;
          "expressions"?: NonNullable<Json>;
          "id"?: never;
          "labels": NonNullable<Json>;
          "preferences"?: NonNullable<Json>;
          "requires": (string)[];
          "resources"?: NonNullable<Json>;
          "slots"?: number;
          "tenant_id": string;
        };
        Update: {
          "created_at"?: string;
          "digest"?: string;
          "expressions"?: NonNullable<Json>;
          "id"?: never;
          "labels"?: NonNullable<Json>;
          "preferences"?: NonNullable<Json>;
          "requires"?: (string)[];
          "resources"?: NonNullable<Json>;
          "slots"?: number;
          "tenant_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "job_classes_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "job_dependencies": {
        Row: {
          "after_id": string;
          "job_id": string;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "after_id": string;
          "job_id": string;
          "tenant_id": string;
        };
        Update: {
          "after_id"?: string;
          "job_id"?: string;
          "tenant_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "job_dependencies_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "jobs";
            referencedColumns: ["id"];
          },
        ];
      };
      "job_inputs": {
        Row: {
          "artifact_id": string;
          "job_id": string;
          "ordinal": number;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "artifact_id": string;
          "job_id": string;
          "ordinal": number;
          "tenant_id": string;
        };
        Update: {
          "artifact_id"?: string;
          "job_id"?: string;
          "ordinal"?: number;
          "tenant_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "job_inputs_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "jobs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "job_inputs_tenant_id_artifact_id_fkey";
            columns: ["tenant_id", "artifact_id"];
            isOneToOne: false;
            referencedRelation: "artifacts";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "jobs": {
        Row: {
          "assigned_at": string | null;
          "attempt_deadline_at": string | null;
          "attempt_timeout": string;
          "attempts": number;
          "class_id": number;
          "concurrency_key": string | null;
          "correlation_id": string | null;
          "created_at": string;
          "error": Json | null;
          "executor_id": string | null;
          "expires_at": string | null;
          "fairness_key": string | null;
          "fairness_weight": number;
          "finished_at": string | null;
          "has_gates": boolean;
          "id": string;
          "idempotency_key": string | null;
          "labels": NonNullable<Json>;
          "last_sequence": number;
          "max_attempts": number;
          "notify": boolean;
          "parent_id": string | null;
          "payload": NonNullable<Json>;
          "policy": NonNullable<Json>;
          "position": number;
          "priority": number;
          "progress": number | null;
          "progress_note": string | null;
          "queued_at": string | null;
          "rank": number;
          "released_count": number;
          "requires": (string)[];
          "result": Json | null;
          "retry_base": string;
          "retry_cap": string;
          "retry_of": string | null;
          "run_at": string;
          "secret_names": (string)[];
          "start_by": string | null;
          "started_at": string | null;
          "status": Database["muster"]["Enums"]["job_status"];
          "stored_sequence": number;
          "tenant_id": string;
          "type": string;
          "updated_at": string;
          "waiting_for": string | null;
          "worker_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "assigned_at"?: string | null;
          "attempt_deadline_at"?: string | null;
          "attempt_timeout"?: string;
          "attempts"?: number;
          "class_id": number;
          "concurrency_key"?: string | null;
          "correlation_id"?: string | null;
          "created_at": string;
          "error"?: Json | null;
          "executor_id"?: string | null;
          "expires_at"?: string | null;
          "fairness_key"?: string | null;
          "fairness_weight"?: number;
          "finished_at"?: string | null;
          "has_gates"?: never;
          "id"?: string;
          "idempotency_key"?: string | null;
          "labels"?: NonNullable<Json>;
          "last_sequence"?: number;
          "max_attempts"?: number;
          "notify"?: boolean;
          "parent_id"?: string | null;
          "payload"?: NonNullable<Json>;
          "policy"?: NonNullable<Json>;
          "position"?: number;
          "priority"?: number;
          "progress"?: number | null;
          "progress_note"?: string | null;
          "queued_at"?: string | null;
          "rank"?: number;
          "released_count"?: number;
          "requires"?: (string)[];
          "result"?: Json | null;
          "retry_base"?: string;
          "retry_cap"?: string;
          "retry_of"?: string | null;
          "run_at": string;
          "secret_names"?: (string)[];
          "start_by"?: string | null;
          "started_at"?: string | null;
          "status": Database["muster"]["Enums"]["job_status"];
          "stored_sequence"?: number;
          "tenant_id": string;
          "type": string;
          "updated_at": string;
          "waiting_for"?: string | null;
          "worker_id"?: string | null;
        };
        Update: {
          "assigned_at"?: string | null;
          "attempt_deadline_at"?: string | null;
          "attempt_timeout"?: string;
          "attempts"?: number;
          "class_id"?: number;
          "concurrency_key"?: string | null;
          "correlation_id"?: string | null;
          "created_at"?: string;
          "error"?: Json | null;
          "executor_id"?: string | null;
          "expires_at"?: string | null;
          "fairness_key"?: string | null;
          "fairness_weight"?: number;
          "finished_at"?: string | null;
          "has_gates"?: never;
          "id"?: string;
          "idempotency_key"?: string | null;
          "labels"?: NonNullable<Json>;
          "last_sequence"?: number;
          "max_attempts"?: number;
          "notify"?: boolean;
          "parent_id"?: string | null;
          "payload"?: NonNullable<Json>;
          "policy"?: NonNullable<Json>;
          "position"?: number;
          "priority"?: number;
          "progress"?: number | null;
          "progress_note"?: string | null;
          "queued_at"?: string | null;
          "rank"?: number;
          "released_count"?: number;
          "requires"?: (string)[];
          "result"?: Json | null;
          "retry_base"?: string;
          "retry_cap"?: string;
          "retry_of"?: string | null;
          "run_at"?: string;
          "secret_names"?: (string)[];
          "start_by"?: string | null;
          "started_at"?: string | null;
          "status"?: Database["muster"]["Enums"]["job_status"];
          "stored_sequence"?: number;
          "tenant_id"?: string;
          "type"?: string;
          "updated_at"?: string;
          "waiting_for"?: string | null;
          "worker_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "jobs_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "late_results": {
        Row: {
          "attempt": number;
          "error": Json | null;
          "job_id": string;
          "received_at": string;
          "result": Json | null;
          "status": string;
          "tenant_id": string;
          "worker_id": string;
        };
        ComputedFields: never;
        Insert: {
          "attempt": number;
          "error"?: Json | null;
          "job_id": string;
          "received_at": string;
          "result"?: Json | null;
          "status": string;
          "tenant_id": string;
          "worker_id": string;
        };
        Update: {
          "attempt"?: number;
          "error"?: Json | null;
          "job_id"?: string;
          "received_at"?: string;
          "result"?: Json | null;
          "status"?: string;
          "tenant_id"?: string;
          "worker_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "late_results_job_id_fkey";
            columns: ["job_id"];
            isOneToOne: false;
            referencedRelation: "jobs";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "late_results_tenant_id_worker_id_fkey";
            columns: ["tenant_id", "worker_id"];
            isOneToOne: false;
            referencedRelation: "worker_devices";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "members": {
        Row: {
          "created_at": string;
          "role": Database["muster"]["Enums"]["member_role"];
          "tenant_id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "role": Database["muster"]["Enums"]["member_role"];
          "tenant_id": string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "role"?: Database["muster"]["Enums"]["member_role"];
          "tenant_id"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "members_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "queue_bridges": {
        Row: {
          "created_at": string;
          "options": NonNullable<Json>;
          "queue": string;
          "tenant_id": string;
          "type": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at": string;
          "options"?: NonNullable<Json>;
          "queue": string;
          "tenant_id": string;
          "type": string;
          "updated_at": string;
        };
        Update: {
          "created_at"?: string;
          "options"?: NonNullable<Json>;
          "queue"?: string;
          "tenant_id"?: string;
          "type"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "queue_bridges_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "rate_limits": {
        Row: {
          "burst": number;
          "key": string;
          "max_units": number;
          "next_at": string | null;
          "per_seconds": number;
          "refilled_at": string;
          "set_by": number;
          "tenant_id": string;
          "tokens": number;
        };
        ComputedFields: never;
        Insert: {
          "burst": number;
          "key": string;
          "max_units": number;
          "next_at"?: string | null;
          "per_seconds": number;
          "refilled_at": string;
          "set_by": number;
          "tenant_id": string;
          "tokens": number;
        };
        Update: {
          "burst"?: number;
          "key"?: string;
          "max_units"?: number;
          "next_at"?: string | null;
          "per_seconds"?: number;
          "refilled_at"?: string;
          "set_by"?: number;
          "tenant_id"?: string;
          "tokens"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "rate_limits_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "resource_holders": {
        Row: {
          "acquired_at": string;
          "expires_at": string;
          "lease": string;
          "metadata": NonNullable<Json>;
          "name": string;
          "size_bytes": number | null;
          "tenant_id": string;
          "touched_at": string;
          "worker_id": string;
        };
        ComputedFields: never;
        Insert: {
          "acquired_at": string;
          "expires_at": string;
          "lease": string;
          "metadata"?: NonNullable<Json>;
          "name": string;
          "size_bytes"?: number | null;
          "tenant_id": string;
          "touched_at": string;
          "worker_id": string;
        };
        Update: {
          "acquired_at"?: string;
          "expires_at"?: string;
          "lease"?: string;
          "metadata"?: NonNullable<Json>;
          "name"?: string;
          "size_bytes"?: number | null;
          "tenant_id"?: string;
          "touched_at"?: string;
          "worker_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "resource_holders_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "resource_holders_tenant_id_worker_id_fkey";
            columns: ["tenant_id", "worker_id"];
            isOneToOne: false;
            referencedRelation: "worker_devices";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "schedules": {
        Row: {
          "catch_up": string;
          "created_at": string;
          "created_by": NonNullable<Json>;
          "cron": string;
          "ends_at": string | null;
          "executor_id": string | null;
          "id": string;
          "jitter_seconds": number;
          "job": NonNullable<Json>;
          "last_job_id": string | null;
          "last_run_at": string | null;
          "last_skip": Json | null;
          "name": string;
          "next_run_at": string | null;
          "overlap": string;
          "paused_at": string | null;
          "run_count": number;
          "starts_at": string | null;
          "tenant_id": string;
          "time_zone": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "catch_up": string;
          "created_at": string;
          "created_by": NonNullable<Json>;
          "cron": string;
          "ends_at"?: string | null;
          "executor_id"?: string | null;
          "id"?: string;
          "jitter_seconds": number;
          "job": NonNullable<Json>;
          "last_job_id"?: string | null;
          "last_run_at"?: string | null;
          "last_skip"?: Json | null;
          "name": string;
          "next_run_at"?: string | null;
          "overlap": string;
          "paused_at"?: string | null;
          "run_count"?: number;
          "starts_at"?: string | null;
          "tenant_id": string;
          "time_zone": string;
          "updated_at": string;
        };
        Update: {
          "catch_up"?: string;
          "created_at"?: string;
          "created_by"?: NonNullable<Json>;
          "cron"?: string;
          "ends_at"?: string | null;
          "executor_id"?: string | null;
          "id"?: string;
          "jitter_seconds"?: number;
          "job"?: NonNullable<Json>;
          "last_job_id"?: string | null;
          "last_run_at"?: string | null;
          "last_skip"?: Json | null;
          "name"?: string;
          "next_run_at"?: string | null;
          "overlap"?: string;
          "paused_at"?: string | null;
          "run_count"?: number;
          "starts_at"?: string | null;
          "tenant_id"?: string;
          "time_zone"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "schedules_tenant_id_executor_id_fkey";
            columns: ["tenant_id", "executor_id"];
            isOneToOne: false;
            referencedRelation: "executors";
            referencedColumns: ["tenant_id", "id"];
          },
          {
            foreignKeyName: "schedules_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "secrets": {
        Row: {
          "allowed_types": (string)[];
          "ciphertext": string;
          "created_at": string;
          "id": string;
          "key_id": string;
          "name": string;
          "tenant_id": string;
          "updated_at": string;
          "updated_by": NonNullable<Json>;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "allowed_types": (string)[];
          "ciphertext": string;
          "created_at": string;
          "id"?: string;
          "key_id": string;
          "name": string;
          "tenant_id": string;
          "updated_at": string;
          "updated_by": NonNullable<Json>;
          "version": number;
        };
        Update: {
          "allowed_types"?: (string)[];
          "ciphertext"?: string;
          "created_at"?: string;
          "id"?: string;
          "key_id"?: string;
          "name"?: string;
          "tenant_id"?: string;
          "updated_at"?: string;
          "updated_by"?: NonNullable<Json>;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "secrets_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "stored_events": {
        Row: {
          "attempt": number;
          "created_at": string;
          "data": NonNullable<Json>;
          "job_id": string;
          "kind": string;
          "number": number | null;
          "sequence": number;
          "tenant_id": string;
        };
        ComputedFields: never;
        Insert: {
          "attempt": number;
          "created_at": string;
          "data": NonNullable<Json>;
          "job_id": string;
          "kind": string;
          "number"?: number | null;
          "sequence": number;
          "tenant_id": string;
        };
        Update: {
          "attempt"?: number;
          "created_at"?: string;
          "data"?: NonNullable<Json>;
          "job_id"?: string;
          "kind"?: string;
          "number"?: number | null;
          "sequence"?: number;
          "tenant_id"?: string;
        };
        Relationships: [];
      };
      "tenant_limits": {
        Row: {
          "api_key_burst": number | null;
          "api_key_rate": number | null;
          "artifact_bytes": number | null;
          "enrollment_token_burst": number | null;
          "enrollment_token_rate": number | null;
          "job_classes": number | null;
          "member_burst": number | null;
          "member_rate": number | null;
          "retention_days": number | null;
          "tenant_id": string;
          "updated_at": string;
          "waiting_jobs": number | null;
          "worker_burst": number | null;
          "worker_rate": number | null;
          "workers": number | null;
        };
        ComputedFields: never;
        Insert: {
          "api_key_burst"?: number | null;
          "api_key_rate"?: number | null;
          "artifact_bytes"?: number | null;
          "enrollment_token_burst"?: number | null;
          "enrollment_token_rate"?: number | null;
          "job_classes"?: number | null;
          "member_burst"?: number | null;
          "member_rate"?: number | null;
          "retention_days"?: number | null;
          "tenant_id": string;
          "updated_at"?: string;
          "waiting_jobs"?: number | null;
          "worker_burst"?: number | null;
          "worker_rate"?: number | null;
          "workers"?: number | null;
        };
        Update: {
          "api_key_burst"?: number | null;
          "api_key_rate"?: number | null;
          "artifact_bytes"?: number | null;
          "enrollment_token_burst"?: number | null;
          "enrollment_token_rate"?: number | null;
          "job_classes"?: number | null;
          "member_burst"?: number | null;
          "member_rate"?: number | null;
          "retention_days"?: number | null;
          "tenant_id"?: string;
          "updated_at"?: string;
          "waiting_jobs"?: number | null;
          "worker_burst"?: number | null;
          "worker_rate"?: number | null;
          "workers"?: number | null;
        };
        Relationships: [
          {
            foreignKeyName: "tenant_limits_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: true;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "tenants": {
        Row: {
          "created_at": string;
          "id": string;
          "name": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "id"?: string;
          "name": string;
        };
        Update: {
          "created_at"?: string;
          "id"?: string;
          "name"?: string;
        };
        Relationships: [];
      };
      "worker_classes": {
        Row: {
          "class_id": number;
          "preference": number;
          "tenant_id": string;
          "worker_id": string;
        };
        ComputedFields: never;
        Insert: {
          "class_id": number;
          "preference"?: number;
          "tenant_id": string;
          "worker_id": string;
        };
        Update: {
          "class_id"?: number;
          "preference"?: number;
          "tenant_id"?: string;
          "worker_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "worker_classes_tenant_id_class_id_fkey";
            columns: ["tenant_id", "class_id"];
            isOneToOne: false;
            referencedRelation: "job_classes";
            referencedColumns: ["tenant_id", "id"];
          },
          {
            foreignKeyName: "worker_classes_tenant_id_worker_id_fkey";
            columns: ["tenant_id", "worker_id"];
            isOneToOne: false;
            referencedRelation: "worker_devices";
            referencedColumns: ["tenant_id", "id"];
          },
        ];
      };
      "worker_devices": {
        Row: {
          "allowed_capabilities": (string)[] | null;
          "capabilities": (string)[];
          "claims": boolean;
          "cordoned_at": string | null;
          "created_at": string;
          "deaf": boolean;
          "device_fingerprint": string;
          "drain_requested_at": string | null;
          "enrollment_token_id": string | null;
          "ephemeral": boolean;
          "forget_at": string | null;
          "forgotten_at": string | null;
          "granted_labels": NonNullable<Json>;
          "held_count": number;
          "held_resources": NonNullable<Json>;
          "id": string;
          "labels": NonNullable<Json>;
          "last_assigned_at": string | null;
          "listening": boolean;
          "measured_capabilities": (string)[];
          "name": string;
          "public_jwk": NonNullable<Json>;
          "resources": NonNullable<Json>;
          "session_id": string | null;
          "slots": number;
          "status": Database["muster"]["Enums"]["worker_status"];
          "tenant_id": string;
          "updated_at": string;
          "version": string | null;
        };
        ComputedFields: never;
        Insert: {
          "allowed_capabilities"?: (string)[] | null;
          "capabilities"?: (string)[];
          "claims"?: boolean;
          "cordoned_at"?: string | null;
          "created_at"?: string;
          "deaf"?: boolean;
          "device_fingerprint": string;
          "drain_requested_at"?: string | null;
          "enrollment_token_id"?: string | null;
          "ephemeral"?: boolean;
          "forget_at"?: string | null;
          "forgotten_at"?: string | null;
          "granted_labels"?: NonNullable<Json>;
          "held_count"?: number;
          "held_resources"?: NonNullable<Json>;
          "id"?: string;
          "labels"?: NonNullable<Json>;
          "last_assigned_at"?: string | null;
          "listening"?: boolean;
          "measured_capabilities"?: (string)[];
          "name": string;
          "public_jwk": NonNullable<Json>;
          "resources"?: NonNullable<Json>;
          "session_id"?: string | null;
          "slots"?: number;
          "status"?: Database["muster"]["Enums"]["worker_status"];
          "tenant_id": string;
          "updated_at"?: string;
          "version"?: string | null;
        };
        Update: {
          "allowed_capabilities"?: (string)[] | null;
          "capabilities"?: (string)[];
          "claims"?: boolean;
          "cordoned_at"?: string | null;
          "created_at"?: string;
          "deaf"?: boolean;
          "device_fingerprint"?: string;
          "drain_requested_at"?: string | null;
          "enrollment_token_id"?: string | null;
          "ephemeral"?: boolean;
          "forget_at"?: string | null;
          "forgotten_at"?: string | null;
          "granted_labels"?: NonNullable<Json>;
          "held_count"?: number;
          "held_resources"?: NonNullable<Json>;
          "id"?: string;
          "labels"?: NonNullable<Json>;
          "last_assigned_at"?: string | null;
          "listening"?: boolean;
          "measured_capabilities"?: (string)[];
          "name"?: string;
          "public_jwk"?: NonNullable<Json>;
          "resources"?: NonNullable<Json>;
          "session_id"?: string | null;
          "slots"?: number;
          "status"?: Database["muster"]["Enums"]["worker_status"];
          "tenant_id"?: string;
          "updated_at"?: string;
          "version"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "worker_devices_tenant_id_enrollment_token_id_fkey";
            columns: ["tenant_id", "enrollment_token_id"];
            isOneToOne: false;
            referencedRelation: "enrollment_tokens";
            referencedColumns: ["tenant_id", "id"];
          },
          {
            foreignKeyName: "worker_devices_tenant_id_fkey";
            columns: ["tenant_id"];
            isOneToOne: false;
            referencedRelation: "tenants";
            referencedColumns: ["id"];
          },
        ];
      };
      "worker_heartbeats": {
        Row: {
          "busy_interval": string;
          "deadline_at": string;
          "last_seen_at": string;
          "metrics": NonNullable<Json>;
          "tenant_id": string;
          "wake_heard_at": string | null;
          "wake_nonce": string | null;
          "wake_sent_at": string | null;
          "worker_id": string;
        };
        ComputedFields: never;
        Insert: {
          "busy_interval": string;
          "deadline_at": string;
          "last_seen_at": string;
          "metrics"?: NonNullable<Json>;
          "tenant_id": string;
          "wake_heard_at"?: string | null;
          "wake_nonce"?: string | null;
          "wake_sent_at"?: string | null;
          "worker_id": string;
        };
        Update: {
          "busy_interval"?: string;
          "deadline_at"?: string;
          "last_seen_at"?: string;
          "metrics"?: NonNullable<Json>;
          "tenant_id"?: string;
          "wake_heard_at"?: string | null;
          "wake_nonce"?: string | null;
          "wake_sent_at"?: string | null;
          "worker_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "worker_heartbeats_worker_id_fkey";
            columns: ["worker_id"];
            isOneToOne: true;
            referencedRelation: "worker_devices";
            referencedColumns: ["id"];
          },
        ];
      };
    };
    Views: {
      "job_events": {
        Row: {
          "attempt": number | null;
          "created_at": string | null;
          "data": Json | null;
          "job_id": string | null;
          "kind": string | null;
          "number": number | null;
          "sequence": number | null;
          "tenant_id": string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
    };
    Functions: {
      "add_member": { Args: { "caller": Json; "email"?: string; "role": string; "user_id"?: string }; Returns: Json };
      "authorize_artifact_finish": { Args: { "artifact_id": string; "caller": Json }; Returns: Json };
      "authorize_client": { Args: { "caller": Json }; Returns: Json };
      "authorize_secrets": { Args: { "caller"?: Json }; Returns: Json };
      "bootstrap_tenant": {
        Args: { "admin_email"?: string; "admin_user_id"?: string; "caller": Json; "name": string };
        Returns: Json;
      };
      "bridge_queue": { Args: { "options"?: Json; "queue": string; "type": string }; Returns: Json };
      "cancel_jobs": { Args: { "caller": Json; "job_ids": (string)[]; "reason"?: string }; Returns: Json };
      "change_member_role": { Args: { "caller": Json; "role": string; "user_id": string }; Returns: Json };
      "change_schedule": { Args: { "caller": Json; "changes": Json; "schedule_id": string }; Returns: Json };
      "charge_address": { Args: { "address": string; "purpose": string }; Returns: undefined };
      "charge_refusal": { Args: { "address": string; "caller": Json }; Returns: undefined };
      "claim_jobs": { Args: { "want"?: number }; Returns: Json };
      "close_batch": { Args: { "caller": Json; "job_id": string }; Returns: Json };
      "complete_jobs": { Args: { "results": Json; "want"?: number }; Returns: Json };
      "cordon_worker": { Args: { "caller": Json; "worker_id": string }; Returns: Json };
      "create_api_key": {
        Args: {
          "executor_name": string;
          "expires_at"?: string;
          "key_hash": string;
          "key_prefix": string;
          "scopes"?: (string)[];
          "tenant_id": string;
        };
        Returns: Json;
      };
      "create_artifact": { Args: { "artifact": Json; "caller": Json }; Returns: Json };
      "create_enrollment_token": {
        Args: {
          "capabilities"?: (string)[];
          "cidrs"?: (string)[];
          "ephemeral"?: boolean;
          "expires_at"?: string;
          "labels"?: Json;
          "max_uses"?: number;
          "name": string;
          "tenant_id": string;
          "token_hash": string;
        };
        Returns: Json;
      };
      "create_realtime_trigger": { Args: { "channel"?: string; "event"?: string; "queue": string }; Returns: Json };
      "create_schedule": { Args: { "caller": Json; "schedule": Json }; Returns: Json };
      "create_tenant": { Args: { "name": string }; Returns: Json };
      "delete_schedule": { Args: { "caller": Json; "schedule_id": string }; Returns: Json };
      "delete_secret": { Args: { "caller": Json; "name": string }; Returns: Json };
      "dismiss_dead_letters": {
        Args: { "caller": Json; "cursor"?: string; "filter"?: Json; "ids"?: Json; "most"?: number };
        Returns: Json;
      };
      "drain_worker": { Args: { "caller": Json; "worker_id": string }; Returns: Json };
      "enroll_worker": { Args: { "address"?: unknown; "token_hash": string; "worker": Json }; Returns: Json };
      "explain_job": { Args: { "caller": Json; "job_id": string }; Returns: Json };
      "explain_submission": { Args: { "caller": Json; "job": Json }; Returns: Json };
      "finish_artifact": { Args: { "artifact_id": string; "sha256": string; "size_bytes": number }; Returns: Json };
      "get_artifact": { Args: { "artifact_id": string; "caller": Json }; Returns: Json };
      "get_job": { Args: { "caller": Json; "job_id": string }; Returns: Json };
      "get_limits": { Args: { "caller": Json }; Returns: Json };
      "get_load": { Args: { "caller": Json }; Returns: Json };
      "get_schedule": { Args: { "caller": Json; "schedule_id": string }; Returns: Json };
      "get_worker": { Args: { "caller": Json; "worker_id": string }; Returns: Json };
      "goodbye": { Args: { "reason"?: string }; Returns: Json };
      "health": { Args: Record<PropertyKey, never>; Returns: Json };
      "heartbeat": {
        Args: {
          "draining"?: boolean;
          "events"?: Json;
          "listening"?: boolean;
          "metrics"?: Json;
          "running": Json;
          "wake_nonce"?: string;
          "want"?: number;
        };
        Returns: Json;
      };
      "hello": { Args: { "running"?: Json; "worker": Json }; Returns: Json };
      "hold_resources": { Args: { "resources": Json }; Returns: Json };
      "issue_api_key": {
        Args: {
          "caller": Json;
          "executor_name": string;
          "expires_at"?: string;
          "key_hash": string;
          "key_prefix": string;
          "scopes"?: (string)[];
        };
        Returns: Json;
      };
      "issue_enrollment_token": {
        Args: {
          "caller": Json;
          "capabilities"?: (string)[];
          "cidrs"?: (string)[];
          "ephemeral"?: boolean;
          "expires_at"?: string;
          "labels"?: Json;
          "max_uses"?: number;
          "name": string;
          "token_hash": string;
        };
        Returns: Json;
      };
      "list_api_keys": {
        Args: { "caller": Json; "cursor"?: string; "filters"?: Json; "page_size"?: number };
        Returns: Json;
      };
      "list_artifacts": { Args: { "caller": Json; "job_id": string }; Returns: Json };
      "list_audit": {
        Args: { "caller": Json; "cursor"?: string; "filters"?: Json; "page_size"?: number };
        Returns: Json;
      };
      "list_concurrency_keys": { Args: { "caller": Json; "cursor"?: string; "page_size"?: number }; Returns: Json };
      "list_dead_letters": {
        Args: { "caller": Json; "cursor"?: string; "filters"?: Json; "page_size"?: number; "state"?: string };
        Returns: Json;
      };
      "list_enrollment_tokens": {
        Args: { "caller": Json; "cursor"?: string; "filters"?: Json; "page_size"?: number };
        Returns: Json;
      };
      "list_job_events": {
        Args: { "after"?: number; "caller": Json; "job_id": string; "page_size"?: number };
        Returns: Json;
      };
      "list_jobs": {
        Args: { "caller": Json; "cursor"?: string; "filters"?: Json; "page_size"?: number };
        Returns: Json;
      };
      "list_members": { Args: { "caller": Json }; Returns: Json };
      "list_rate_limits": { Args: { "caller": Json; "cursor"?: string; "page_size"?: number }; Returns: Json };
      "list_resources": { Args: { "caller": Json; "filters"?: Json }; Returns: Json };
      "list_schedules": {
        Args: { "caller": Json; "cursor"?: string; "name"?: string; "page_size"?: number };
        Returns: Json;
      };
      "list_secrets": { Args: { "caller": Json; "cursor"?: string; "page_size"?: number }; Returns: Json };
      "list_secrets_to_rotate": { Args: { "after"?: string; "key_id": string; "page_size"?: number }; Returns: Json };
      "list_tenants": {
        Args: { "caller": Json; "cursor"?: string; "filters"?: Json; "page_size"?: number };
        Returns: Json;
      };
      "list_workers": { Args: { "caller": Json; "filters"?: Json }; Returns: Json };
      "open_secrets": {
        Args: {
          "attempt": number;
          "fingerprint": string;
          "job_id": string;
          "proof_expires_at": string;
          "proof_jti": string;
          "worker_id": string;
        };
        Returns: Json;
      };
      "pause_schedule": { Args: { "caller": Json; "schedule_id": string }; Returns: Json };
      "prepare_secret": { Args: { "caller": Json; "name": string }; Returns: Json };
      "preview_schedule": {
        Args: { "after"?: string; "caller": Json; "count"?: number; "cron": string; "time_zone"?: string };
        Returns: Json;
      };
      "rebind_job": { Args: { "caller": Json; "job_id": string; "worker_id": string }; Returns: Json };
      "refresh_worker": {
        Args: { "fingerprint": string; "proof_expires_at": string; "proof_jti": string; "worker_id": string };
        Returns: Json;
      };
      "reject_artifact": { Args: { "artifact_id": string; "reason": string }; Returns: Json };
      "release_resources": { Args: { "names": Json; "reason"?: string }; Returns: Json };
      "remove_member": { Args: { "caller": Json; "user_id": string }; Returns: Json };
      "replay_dead_letters": {
        Args: { "caller": Json; "changes"?: Json; "cursor"?: string; "filter"?: Json; "ids"?: Json; "most"?: number };
        Returns: Json;
      };
      "report_events": { Args: { "events": Json }; Returns: Json };
      "resume_schedule": { Args: { "caller": Json; "schedule_id": string }; Returns: Json };
      "resume_worker": { Args: { "caller": Json; "worker_id": string }; Returns: Json };
      "retry_job": { Args: { "caller": Json; "job_id": string }; Returns: Json };
      "revoke_api_key": { Args: { "caller": Json; "key_id": string }; Returns: Json };
      "revoke_enrollment_token": { Args: { "caller": Json; "token_id": string }; Returns: Json };
      "revoke_worker": { Args: { "caller": Json; "worker_id": string }; Returns: Json };
      "rotate_api_key": {
        Args: {
          "caller": Json;
          "key_hash": string;
          "key_id": string;
          "key_prefix": string;
          "overlap_seconds"?: number;
        };
        Returns: Json;
      };
      "rotate_secrets": { Args: { "items": Json; "key_id": string }; Returns: Json };
      "rotate_worker_key": {
        Args: {
          "fingerprint": string;
          "new_fingerprint": string;
          "new_jwk": Json;
          "proof_expires_at": string;
          "proof_jti": string;
          "worker_id": string;
        };
        Returns: Json;
      };
      "run_schedule": {
        Args: { "caller": Json; "correlation_id"?: string; "idempotency_key"?: string; "schedule_id": string };
        Returns: Json;
      };
      "set_audit_retention": { Args: { "caller": Json; "days": number }; Returns: Json };
      "set_concurrency_key": { Args: { "caller": Json; "key": string; "max_running"?: number }; Returns: Json };
      "set_limits": { Args: { "caller": Json; "limits": Json }; Returns: Json };
      "set_measured_capabilities": {
        Args: { "caller": Json; "capabilities": (string)[]; "worker_id": string };
        Returns: Json;
      };
      "set_secret": { Args: { "caller": Json; "secret": Json }; Returns: Json };
      "submit_jobs": {
        Args: { "batch"?: Json; "caller": Json; "correlation_id"?: string; "jobs": Json };
        Returns: Json;
      };
      "tick": { Args: Record<PropertyKey, never>; Returns: Json };
      "unbridge_queue": { Args: { "queue": string }; Returns: Json };
      "uncordon_worker": { Args: { "caller": Json; "worker_id": string }; Returns: Json };
      "verify_audit": { Args: { "caller": Json; "from_seq"?: number; "head"?: Json }; Returns: Json };
    };
    Enums: {
      "artifact_status": "pending" | "ready" | "rejected";
      "job_status": "scheduled" | "blocked" | "queued" | "assigned" | "running" | "succeeded" | "failed" | "cancelled";
      "member_role": "admin" | "editor" | "publisher" | "viewer";
      "worker_status": "online" | "draining" | "offline" | "revoked";
    };
    CompositeTypes: {
      [_ in never]: never;
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "muster">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
    Insert: infer I;
  } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
    Update: infer U;
  } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "muster": {
    Enums: {
      "artifact_status": ["pending", "ready", "rejected"],
      "job_status": ["scheduled", "blocked", "queued", "assigned", "running", "succeeded", "failed", "cancelled"],
      "member_role": ["admin", "editor", "publisher", "viewer"],
      "worker_status": ["online", "draining", "offline", "revoked"],
    },
  },
} as const;
