//! Functions that compute from what they are given and do nothing else: no table, no file, no network, no other session, no state.
//! What is not listed here is for a policy to name.

use super::Dialect;

/// Is it one of them? The name as the database compares it.
pub(super) fn is_harmless(dialect: Dialect, name: &str) -> bool {
    let own = match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::ClickHouse => CLICKHOUSE,
        Dialect::Trino => TRINO,
    };
    // ClickHouse tells cases apart, but not in what it has from SQL. In PostgreSQL another case is another function, of some user.
    let common = if dialect == Dialect::ClickHouse { name.to_ascii_lowercase() } else { name.to_owned() };
    COMMON.contains(&common.as_str()) || own.contains(&name)
}

/// Of SQL itself, with the same meaning everywhere.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "abs", "acos", "any_value", "ascii", "asin", "atan", "atan2", "avg", "ceil", "ceiling", "char_length", "character_length", "chr",
    "coalesce", "concat", "concat_ws", "corr", "cos", "count", "covar_pop", "covar_samp", "cume_dist", "current_date",
    "current_timestamp", "date", "date_part", "date_trunc", "dense_rank", "exp", "extract", "first_value", "floor", "greatest", "lag",
    "last_value", "lead", "least", "left", "length", "ln", "log", "log10", "lower", "lpad", "ltrim", "max", "md5", "min", "mod", "now",
    "nth_value", "ntile", "nullif", "octet_length", "percent_rank", "pi", "position", "power", "radians", "rank", "repeat", "replace",
    "reverse", "right", "round", "row_number", "rpad", "rtrim", "sign", "sin", "split_part", "sqrt", "stddev_pop", "stddev_samp",
    "substr", "substring", "sum", "tan", "translate", "trim", "trunc", "upper", "var_pop", "var_samp",
];

#[rustfmt::skip]
const POSTGRES: &[&str] = &[
    "age", "all", "any", "array", "array_agg", "array_append", "array_cat", "array_length", "array_ndims", "array_position",
    "array_prepend", "array_remove", "array_replace", "array_to_json", "array_to_string", "array_upper", "array_lower", "bit_and",
    "bit_length", "bit_or", "bool_and", "bool_or", "btrim", "cardinality", "clock_timestamp", "convert_from", "convert_to",
    "current_catalog", "current_schema", "current_time", "current_user", "date_bin", "decode", "degrees", "div", "encode", "every",
    "format", "gen_random_uuid", "generate_series", "generate_subscripts", "grouping", "initcap", "isfinite", "json_agg",
    "json_array_elements", "json_array_elements_text", "json_array_length", "json_build_array", "json_build_object", "json_each",
    "json_each_text", "json_extract_path", "json_extract_path_text", "json_object_agg", "json_object_keys", "json_typeof", "jsonb_agg",
    "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array", "jsonb_build_object", "jsonb_each",
    "jsonb_each_text", "jsonb_extract_path", "jsonb_extract_path_text", "jsonb_object_agg", "jsonb_object_keys", "jsonb_path_exists",
    "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first", "jsonb_pretty", "jsonb_set", "jsonb_strip_nulls",
    "jsonb_typeof", "justify_days", "justify_hours", "justify_interval", "localtime", "localtimestamp", "lower_inc", "make_date",
    "make_interval", "make_timestamp", "mode", "num_nonnulls", "num_nulls", "overlay", "percentile_cont", "percentile_disc",
    "phraseto_tsquery", "plainto_tsquery", "quote_ident", "quote_literal", "quote_nullable", "random", "range_agg", "regexp_match",
    "regexp_matches", "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regr_slope", "row", "row_to_json",
    "session_user", "sha224", "sha256", "sha384", "sha512", "some", "starts_with", "statement_timestamp", "stddev", "string_agg",
    "string_to_array", "strpos", "timeofday", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery",
    "to_tsvector", "transaction_timestamp", "ts_headline", "ts_rank", "tsrange", "tstzrange", "unnest", "user", "variance", "version",
    "websearch_to_tsquery", "width_bucket",
];

#[rustfmt::skip]
const CLICKHOUSE: &[&str] = &[
    "addDays", "addHours", "addMinutes", "addMonths", "addSeconds", "addWeeks", "addYears", "argMax", "argMin", "array", "arrayConcat",
    "arrayCount", "arrayDistinct", "arrayElement", "arrayExists", "arrayFilter", "arrayFirst", "arrayJoin", "arrayMap", "arrayMax",
    "arrayMin", "arraySlice", "arraySort", "arraySum", "arrayUniq", "avgIf", "bitAnd", "bitOr", "bitXor", "countIf", "date_diff",
    "dateDiff", "empty", "endsWith", "formatDateTime", "formatReadableQuantity", "formatReadableSize", "fromUnixTimestamp",
    "generateRandom", "groupArray", "groupUniqArray", "has", "hasAll", "hasAny", "if", "ifNull", "indexOf", "intDiv", "isNotNull",
    "isNull", "JSONExtract", "JSONExtractBool", "JSONExtractFloat", "JSONExtractInt", "JSONExtractRaw", "JSONExtractString", "JSONHas",
    "JSONLength", "like", "log2", "map", "match", "maxIf", "median", "minIf", "multiIf", "notEmpty", "numbers", "positionCaseInsensitive",
    "quantile", "quantileExact", "quantiles", "range", "replaceAll", "replaceOne", "replaceRegexpAll", "splitByChar", "splitByString",
    "startsWith", "stringJoin", "subtractDays", "subtractHours", "subtractMonths", "sumIf", "toDate", "toDateTime", "toDateTime64",
    "today", "toDayOfMonth", "toDayOfWeek", "toDecimal64", "toFloat32", "toFloat64", "toHour", "toInt16", "toInt32", "toInt64", "toInt8",
    "toMinute", "toMonday", "toMonth", "topK", "toQuarter", "toStartOfDay", "toStartOfFifteenMinutes", "toStartOfFiveMinutes",
    "toStartOfHour", "toStartOfInterval", "toStartOfMinute", "toStartOfMonth", "toStartOfQuarter", "toStartOfWeek", "toStartOfYear",
    "toString", "toUInt16", "toUInt32", "toUInt64", "toUInt8", "toUnixTimestamp", "toYear", "toYYYYMM", "toYYYYMMDD", "tuple",
    "tupleElement", "uniq", "uniqExact", "uniqHLL12", "yesterday", "zeros",
];

#[rustfmt::skip]
const TRINO: &[&str] = &[
    "approx_distinct", "approx_percentile", "arbitrary", "array_agg", "array_distinct", "array_join", "array_max", "array_min",
    "array_sort", "bool_and", "bool_or", "cardinality", "codepoint", "contains", "count_if", "current_time", "date_add", "date_diff",
    "date_format", "date_parse", "day", "day_of_week", "element_at", "every", "filter", "flatten", "format", "format_datetime",
    "from_iso8601_date", "from_iso8601_timestamp", "from_unixtime", "grouping", "hour", "if", "json_extract", "json_extract_scalar",
    "json_format", "json_parse", "json_query", "json_value", "listagg", "localtime", "localtimestamp", "log2", "map", "map_agg",
    "map_keys", "map_values", "max_by", "min_by", "minute", "month", "quarter", "reduce", "regexp_extract", "regexp_like",
    "regexp_replace", "row", "second", "sequence", "slice", "split", "starts_with", "strpos", "to_iso8601", "to_unixtime", "transform",
    "truncate", "try", "typeof", "unnest", "week", "year", "zip",
];

/// Is it a type that a database comes with, and that looks nothing up? Those that the grammar knows itself are not asked about.
pub(super) fn is_plain_type(name: &str) -> bool {
    PLAIN_TYPES.contains(&name.trim_start_matches('_').to_ascii_lowercase().as_str())
}

#[rustfmt::skip]
const PLAIN_TYPES: &[&str] = &[
    "aclitem", "bit", "bool", "box", "bpchar", "bytea", "char", "cid", "cidr", "circle", "date", "datemultirange", "daterange", "float4",
    "float8", "inet", "int2", "int4", "int4multirange", "int4range", "int8", "int8multirange", "int8range", "interval", "ipaddress", "json",
    "jsonb", "jsonpath", "line", "lseg", "macaddr", "macaddr8", "money", "name", "numeric", "nummultirange", "numrange", "oid", "path",
    "pg_lsn", "point", "polygon", "text", "tid", "time", "timestamp", "timestamptz", "timetz", "tsmultirange", "tsquery", "tsrange",
    "tstzmultirange", "tstzrange", "tsvector", "uuid", "varbit", "varchar", "xid", "xid8", "xml",
];
