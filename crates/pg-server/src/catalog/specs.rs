//! The tables of `pg_catalog` and `information_schema` that clients ask, with their columns.
//!
//! A column is `name:type`: o oid, i int4, s int2, l int8, b boolean, n name, t text, c "char", f float4, z timestamptz,
//! S int2[], O oid[], T text[]. PostgreSQL's documentation (System Catalogs; The Information Schema) says what they mean.

pub(super) struct Spec {
    pub schema: &'static str,
    pub name: &'static str,
    pub columns: &'static str,
}

const fn pg(name: &'static str, columns: &'static str) -> Spec {
    Spec { schema: "pg_catalog", name, columns }
}

const fn sql(name: &'static str, columns: &'static str) -> Spec {
    Spec { schema: "information_schema", name, columns }
}

pub(super) const SPECS: &[Spec] = &[
    pg("pg_namespace", "oid:o nspname:n nspowner:o nspacl:T"),
    pg(
        "pg_class",
        "oid:o relname:n relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o \
         relpages:i reltuples:f relallvisible:i reltoastrelid:o relhasindex:b relisshared:b relpersistence:c relkind:c \
         relnatts:s relchecks:s relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b \
         relispopulated:b relreplident:c relispartition:b relrewrite:o relacl:T reloptions:T relpartbound:t",
    ),
    pg(
        "pg_attribute",
        "attrelid:o attname:n atttypid:o attlen:s attnum:s attcacheoff:i atttypmod:i attndims:s attbyval:b attalign:c \
         attstorage:c attcompression:c attnotnull:b atthasdef:b atthasmissing:b attidentity:c attgenerated:c \
         attisdropped:b attislocal:b attinhcount:s attcollation:o attstattarget:s attacl:T attoptions:T attfdwoptions:T",
    ),
    pg(
        "pg_type",
        "oid:o typname:n typnamespace:o typowner:o typlen:s typbyval:b typtype:c typcategory:c typispreferred:b \
         typisdefined:b typdelim:c typrelid:o typsubscript:o typelem:o typarray:o typinput:n typoutput:n typreceive:n \
         typsend:n typmodin:n typmodout:n typanalyze:n typalign:c typstorage:c typnotnull:b typbasetype:o typtypmod:i \
         typndims:i typcollation:o typdefault:t typacl:T",
    ),
    pg(
        "pg_index",
        "indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indnullsnotdistinct:b indisprimary:b \
         indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b \
         indisreplident:b indkey:S indcollation:O indclass:O indoption:S indexprs:t indpred:t",
    ),
    pg(
        "pg_constraint",
        "oid:o conname:n connamespace:o contype:c condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o \
         conindid:o conparentid:o confrelid:o confupdtype:c confdeltype:c confmatchtype:c conislocal:b coninhcount:s \
         connoinherit:b conkey:S confkey:S conbin:t",
    ),
    pg(
        "pg_database",
        "oid:o datname:n datdba:o encoding:i datlocprovider:c datistemplate:b datallowconn:b dathasloginevt:b \
         datconnlimit:i dattablespace:o datcollate:t datctype:t datlocale:t daticulocale:t daticurules:t datcollversion:t datacl:T",
    ),
    pg(
        "pg_roles",
        "rolname:n rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolconnlimit:i \
         rolpassword:t rolvaliduntil:z rolbypassrls:b rolconfig:T oid:o",
    ),
    pg(
        "pg_user",
        "usename:n usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z useconfig:T",
    ),
    pg(
        "pg_settings",
        "name:t setting:t unit:t category:t short_desc:t context:t vartype:t source:t min_val:t max_val:t",
    ),
    pg("pg_am", "oid:o amname:n amhandler:n amtype:c"),
    pg(
        "pg_collation",
        "oid:o collname:n collnamespace:o collowner:o collprovider:c collisdeterministic:b collencoding:i",
    ),
    pg(
        "pg_tables",
        "schemaname:n tablename:n tableowner:n tablespace:n hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
    ),
    pg("pg_stat_user_tables", "relid:o schemaname:n relname:n seq_scan:l n_live_tup:l n_dead_tup:l"),
    pg("pg_tablespace", "oid:o spcname:n spcowner:o spcacl:T spcoptions:T"),
    // What the node has none of: their rows are none.
    pg("pg_attrdef", "oid:o adrelid:o adnum:s adbin:t"),
    pg("pg_auth_members", "oid:o roleid:o member:o grantor:o admin_option:b"),
    pg("pg_cast", "oid:o castsource:o casttarget:o castfunc:o castcontext:c castmethod:c"),
    pg("pg_depend", "classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype:c"),
    pg("pg_description", "objoid:o classoid:o objsubid:i description:t"),
    pg("pg_enum", "oid:o enumtypid:o enumsortorder:f enumlabel:n"),
    pg("pg_event_trigger", "oid:o evtname:n evtevent:n evtowner:o evtfoid:o evtenabled:c evttags:T"),
    pg(
        "pg_extension",
        "oid:o extname:n extowner:o extnamespace:o extrelocatable:b extversion:t extconfig:O extcondition:T",
    ),
    pg(
        "pg_foreign_data_wrapper",
        "oid:o fdwname:n fdwowner:o fdwhandler:o fdwvalidator:o fdwacl:T fdwoptions:T",
    ),
    pg(
        "pg_foreign_server",
        "oid:o srvname:n srvowner:o srvfdw:o srvtype:t srvversion:t srvacl:T srvoptions:T",
    ),
    pg("pg_foreign_table", "ftrelid:o ftserver:o ftoptions:T"),
    pg("pg_indexes", "schemaname:n tablename:n indexname:n tablespace:n indexdef:t"),
    pg("pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b"),
    pg("pg_language", "oid:o lanname:n lanowner:o lanispl:b lanpltrusted:b"),
    pg("pg_locks", "locktype:t database:o relation:o pid:i mode:t granted:b"),
    pg(
        "pg_matviews",
        "schemaname:n matviewname:n matviewowner:n tablespace:n hasindexes:b ispopulated:b definition:t",
    ),
    pg(
        "pg_opclass",
        "oid:o opcmethod:o opcname:n opcnamespace:o opcowner:o opcfamily:o opcintype:o opcdefault:b opckeytype:o",
    ),
    pg("pg_operator", "oid:o oprname:n oprnamespace:o oprowner:o oprkind:c oprleft:o oprright:o oprresult:o"),
    pg("pg_partitioned_table", "partrelid:o partstrat:c partnatts:s partdefid:o partattrs:S"),
    pg(
        "pg_policy",
        "oid:o polname:n polrelid:o polcmd:c polpermissive:b polroles:O polqual:t polwithcheck:t",
    ),
    pg(
        "pg_proc",
        "oid:o proname:n pronamespace:o proowner:o prolang:o procost:f prorows:f provariadic:o prokind:c prosecdef:b \
         proleakproof:b proisstrict:b proretset:b provolatile:c proparallel:c pronargs:s pronargdefaults:s prorettype:o \
         proargtypes:O proallargtypes:O proargmodes:T proargnames:T prosrc:t proconfig:T proacl:T",
    ),
    pg(
        "pg_publication",
        "oid:o pubname:n pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b",
    ),
    pg("pg_publication_namespace", "oid:o pnpubid:o pnnspid:o"),
    pg("pg_publication_rel", "oid:o prpubid:o prrelid:o prqual:t prattrs:S"),
    pg("pg_range", "rngtypid:o rngsubtype:o rngmultitypid:o rngcollation:o rngsubopc:o"),
    pg("pg_rewrite", "oid:o rulename:n ev_class:o ev_type:c ev_enabled:c is_instead:b ev_qual:t ev_action:t"),
    pg(
        "pg_sequence",
        "seqrelid:o seqtypid:o seqstart:l seqincrement:l seqmax:l seqmin:l seqcache:l seqcycle:b",
    ),
    pg("pg_sequences", "schemaname:n sequencename:n sequenceowner:n start_value:l last_value:l"),
    pg("pg_shdescription", "objoid:o classoid:o description:t"),
    pg("pg_stat_activity", "datid:o datname:n pid:i usename:n application_name:t state:t query:t"),
    pg(
        "pg_statistic_ext",
        "oid:o stxrelid:o stxname:n stxnamespace:o stxowner:o stxkeys:S stxkind:T stxstattarget:s stxexprs:t",
    ),
    pg("pg_timezone_names", "name:t abbrev:t utc_offset:t is_dst:b"),
    pg(
        "pg_trigger",
        "oid:o tgrelid:o tgparentid:o tgname:n tgfoid:o tgtype:s tgenabled:c tgisinternal:b tgconstrrelid:o \
         tgconstrindid:o tgconstraint:o tgdeferrable:b tginitdeferred:b tgnargs:s",
    ),
    pg("pg_views", "schemaname:n viewname:n viewowner:n definition:t"),
    sql("schemata", "catalog_name:n schema_name:n schema_owner:n default_character_set_name:n sql_path:t"),
    sql(
        "tables",
        "table_catalog:n table_schema:n table_name:n table_type:t self_referencing_column_name:n reference_generation:t \
         user_defined_type_catalog:n user_defined_type_schema:n user_defined_type_name:n is_insertable_into:t is_typed:t \
         commit_action:t",
    ),
    sql(
        "columns",
        "table_catalog:n table_schema:n table_name:n column_name:n ordinal_position:i column_default:t is_nullable:t \
         data_type:t character_maximum_length:i character_octet_length:i numeric_precision:i numeric_precision_radix:i \
         numeric_scale:i datetime_precision:i interval_type:t character_set_name:n collation_name:n domain_name:n \
         udt_catalog:n udt_schema:n udt_name:n dtd_identifier:n is_identity:t identity_generation:t is_generated:t \
         generation_expression:t is_updatable:t",
    ),
    sql(
        "table_constraints",
        "constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n \
         constraint_type:t is_deferrable:t initially_deferred:t enforced:t",
    ),
    sql(
        "key_column_usage",
        "constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n \
         column_name:n ordinal_position:i position_in_unique_constraint:i",
    ),
    sql(
        "constraint_column_usage",
        "table_catalog:n table_schema:n table_name:n column_name:n constraint_catalog:n constraint_schema:n constraint_name:n",
    ),
    sql(
        "referential_constraints",
        "constraint_catalog:n constraint_schema:n constraint_name:n unique_constraint_catalog:n \
         unique_constraint_schema:n unique_constraint_name:n match_option:t update_rule:t delete_rule:t",
    ),
    sql(
        "views",
        "table_catalog:n table_schema:n table_name:n view_definition:t check_option:t is_updatable:t",
    ),
    sql(
        "routines",
        "specific_catalog:n specific_schema:n specific_name:n routine_schema:n routine_name:n routine_type:t data_type:t",
    ),
    sql(
        "parameters",
        "specific_schema:n specific_name:n ordinal_position:i parameter_mode:t parameter_name:n data_type:t",
    ),
    sql("sequences", "sequence_catalog:n sequence_schema:n sequence_name:n data_type:t"),
    sql(
        "triggers",
        "trigger_catalog:n trigger_schema:n trigger_name:n event_object_schema:n event_object_table:n",
    ),
    sql(
        "table_privileges",
        "grantor:n grantee:n table_catalog:n table_schema:n table_name:n privilege_type:t is_grantable:t",
    ),
];
