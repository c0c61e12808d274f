-- Makes the tables of Auth, which `@supabase/lite` describes, what seeds, migrations and policies of projects expect.

alter table auth.users add column if not exists instance_id uuid;
alter table auth.users add column if not exists is_super_admin boolean;
alter table auth.identities alter column id set default gen_random_uuid();

-- The platform's Auth hashes passwords itself; here pgcrypto does.
grant usage on schema extensions to supabase_auth_admin;

-- Lite encodes metadata twice: as a JSON string that holds the object. SQL is to see the object.
create or replace function auth.unwrap_json() returns trigger language plpgsql as $$
declare
  v_row jsonb := to_jsonb(new);
  v_column text;
begin
  foreach v_column in array tg_argv loop
    if jsonb_typeof(v_row -> v_column) = 'string' then
      v_row := jsonb_set(v_row, array[v_column], (v_row ->> v_column)::jsonb);
    end if;
  end loop;
  return jsonb_populate_record(new, v_row);
end
$$;

create or replace trigger unwrap_json before insert or update on auth.users
  for each row execute function auth.unwrap_json('raw_app_meta_data', 'raw_user_meta_data');
create or replace trigger unwrap_json before insert or update on auth.identities
  for each row execute function auth.unwrap_json('identity_data');
