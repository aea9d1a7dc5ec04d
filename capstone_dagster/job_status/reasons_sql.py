"""The functions with which the SQL view ``job_status`` reads Dagster's texts, by the rules of ``failure_reasons``.

Python tells reasons of events that it has before it, as in the terminal and in alerts; a test compares the two.
"""

from capstone_dagster.runs.failure_reasons import INTERRUPTED, NOT_RECORDED

# Text of others: what cannot be read is NULL, and no error of the whole view.
_FUNCTIONS = r"""
CREATE OR REPLACE FUNCTION job_status_json(given text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN given::jsonb;
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION job_status_day(given text) RETURNS date
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN CASE WHEN given ~ '^\d{{4}}-\d\d-\d\d$' THEN make_date(
        substr(given, 1, 4)::int, substr(given, 6, 2)::int, substr(given, 9, 2)::int) END;
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;

-- An error with its stack, its cause and its context, as Dagster prints it.
CREATE OR REPLACE FUNCTION job_status_stack(error jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN concat(
        error->>'message', E'\n',
        (SELECT string_agg(line, '') FROM jsonb_array_elements_text(error->'stack') AS line), E'\n',
        job_status_stack(nullif(error->'cause', 'null')), E'\n',
        job_status_stack(nullif(error->'context', 'null'))
    );
END $$;

-- Why a run or a step has ended, from the event that says so.
CREATE OR REPLACE FUNCTION job_status_reason(event jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    data CONSTANT jsonb := event->'dagster_event'->'event_specific_data';
    is_step CONSTANT boolean := event->'dagster_event'->>'event_type_value' = 'STEP_FAILURE';
    described CONSTANT text := data->'user_failure_data'->>'description';
    error jsonb := nullif(data->'error', 'null');
    causes text[];
BEGIN
    IF is_step AND described <> '' THEN
        RETURN described;
    ELSIF is_step AND error IS NULL THEN
        RETURN {not_recorded};
    ELSIF error IS NULL THEN
        RETURN event->'dagster_event'->>'message';
    END IF;
    WHILE jsonb_typeof(error->'cause') = 'object'
        AND (NOT is_step OR error->>'cls_name' ~ '^(Dagster|RetryRequested)') LOOP
        error := error->'cause';
    END LOOP;
    IF is_step AND error->>'cls_name' = 'DagsterExecutionInterruptedError' THEN
        RETURN {interrupted};
    ELSIF is_step THEN
        SELECT array_agg(cause ORDER BY place) INTO causes FROM (
            SELECT btrim(line[1], ' :') AS cause, min(place) AS place
            FROM regexp_matches(
                job_status_stack(error), '^(.*\[[A-Z][A-Z_.]{{3,}}\].*|Caused by: .*)$', 'gn'
            ) WITH ORDINALITY AS found(line, place)
            GROUP BY 1
        ) AS named;
        IF cardinality(causes) > 3 THEN
            causes := ARRAY[causes[1], causes[2], causes[cardinality(causes)]];
        END IF;
        IF cardinality(causes) > 0 THEN
            RETURN array_to_string(causes, '; ');
        END IF;
    END IF;
    RETURN regexp_replace(
        btrim(error->>'message', E' \t\r\n'), '^(capstone_dagster|spark_code|dagster)\.[\w.]+: ', '');
END $$;
"""


def functions() -> str:
    """The statements that make or replace them."""
    return _FUNCTIONS.format(not_recorded=f"'{NOT_RECORDED}'", interrupted=f"'{INTERRUPTED}'")
