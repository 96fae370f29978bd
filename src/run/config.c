/* SPDX-License-Identifier: Apache-2.0 */
#include "run/config.h"

#include "run/run_id.h"
#include "files/json.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* A continued run needs the same bits. A typed number has 15 digits or less, a computed one up to 17. */
static json_t *exact_json(double value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) == value) return json_real(value);
    snprintf(digits, sizeof digits, "%.17g", value);
    return json_string(digits);
}

/* Of peers and overlap: a number, or another text. */
static json_t *word_json(const char *text) {
    char *end;
    long long number = strtoll(text, &end, 10);
    if (*text == '\0') return json_null();
    return *end == '\0' ? json_integer(number) : json_string(text);
}

/* "INTEGER:NUMBER" as an object of its parts. */
static json_t *parts_json(const option_t *option, const char *text) {
    char *colon;
    if (*text == '\0') return json_null();
    int first = (int)strtol(text, &colon, 10);
    return json_pack("{s:i, s:f}", option->parts[0], first, option->parts[1],
                     strtod(colon + 1, NULL));
}

/* The whole string; option_print may cut it. */
static json_t *string_json(const option_t *option, const void *base) {
    const char *text = *(const char *const *)((const char *)base + option->offset);
    return text ? json_string(text) : json_null();
}

json_t *config_peers_json(const train_options_t *options) {
    char text[TRAIN_STAGES_TEXT];
    return word_json(train_stages_text(&options->peers, NULL, text));
}

json_t *config_overlap_json(int overlap) {
    return overlap == SGP_OVERLAP_ASYNC ? json_string("async") : json_integer(overlap);
}

static json_t *value_json(const option_t *option, const train_options_t *options) {
    const void *value = (const char *)options + option->offset;
    char text[OPTION_TEXT];
    option_print(option, options, 17, text);
    switch (option->type) {
    case OPTION_STRING:
    case OPTION_CHOICE:
        return string_json(option, options);
    case OPTION_INT:
        return json_integer(*(const int *)value);
    case OPTION_LONG:
        return json_integer(*(const int64_t *)value);
    case OPTION_SEED:
        return files_json_u64(*(const uint64_t *)value);
    case OPTION_REAL:
        return *text ? exact_json(*(const double *)value) : json_null();
    case OPTION_PARSED:
        return option->parts[0] ? parts_json(option, text) : word_json(text);
    default:
        return json_boolean(strcmp(text, "on") == 0);
    }
}

/* batch-size is batch_size in a file. */
static void key_of(const option_t *option, char key[CONFIG_KEY]) {
    snprintf(key, CONFIG_KEY, "%s", option->name);
    for (; *key; key++)
        if (*key == '-') *key = '_';
}

json_t *config_options_json(const train_options_t *options) {
    json_t *object = json_object();
    for (const option_t *option = train_option_rows; option->name; option++) {
        char key[CONFIG_KEY];
        if (option->unrecorded) continue;
        key_of(option, key);
        if (json_object_set_new(object, key, value_json(option, options)) == 0) continue;
        json_decref(object);
        return NULL;
    }
    return object;
}

static const option_t *find(const char *key) {
    for (const option_t *option = train_option_rows; option->name; option++) {
        char name[CONFIG_KEY];
        key_of(option, name);
        if (!option->unrecorded && strcmp(key, name) == 0) return option;
    }
    return NULL;
}

/* ---- back from config.json ---- */

/* The value as option_parse reads it, in `text` unless it is a string. NULL: it has no such type. */
static const char *text_of(const option_t *option, const json_t *value, char text[OPTION_TEXT]) {
    bool borrows = option->type == OPTION_STRING || option->type == OPTION_CHOICE;
    if (json_is_string(value)) return json_string_value(value);
    if (borrows) return NULL;
    if (json_is_boolean(value)) return json_is_true(value) ? "on" : "off";
    if (json_is_integer(value))
        snprintf(text, OPTION_TEXT, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value)) snprintf(text, OPTION_TEXT, "%.17g", json_real_value(value));
    else if (json_is_object(value) && option->parts[0])
        snprintf(text, OPTION_TEXT, "%" JSON_INTEGER_FORMAT ":%.17g",
                 json_integer_value(json_object_get(value, option->parts[0])),
                 json_number_value(json_object_get(value, option->parts[1])));
    else return NULL;
    return text;
}

/* A 0 that the command line cannot ask for is the default. */
static bool is_unset(const option_t *option, const json_t *value) {
    return json_is_number(value) && option->min > 0 && json_number_value(value) == 0;
}

static bool read_one(const char *key, const json_t *value, train_options_t *options,
                     config_mistake_t *mistake) {
    char text[OPTION_TEXT];
    const option_t *option = find(key);
    if (json_is_null(value) || (option && option->elsewhere)) return true;
    if (option && is_unset(option, value)) return true;
    const char *found = option ? text_of(option, value, text) : NULL;
    if (found && option_parse(option, found, options)) return true;
    mistake->option = found ? option : NULL;
    snprintf(mistake->key, sizeof mistake->key, "%s", key);
    snprintf(mistake->text, sizeof mistake->text, "%.255s", found ? found : "");
    return false;
}

bool config_options_read(const json_t *object, train_options_t *options,
                         config_mistake_t *mistake) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key,
                        value) if (!read_one(key, value, options, mistake)) return false;
    return true;
}

/* ---- whether it is the same run ---- */

/* Compares the values as they are written, and puts them into the difference. */
static bool same_json(const json_t *there, const json_t *here, config_difference_t *difference) {
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT | FILES_JSON_FLAGS;
    char *before = json_dumps(there, flags), *now = json_dumps(here, flags);
    bool same = before && now && strcmp(before, now) == 0;
    snprintf(difference->there, CONFIG_VALUE, "%s", before ? before : "?");
    snprintf(difference->here, CONFIG_VALUE, "%s", now ? now : "?");
    free(before);
    free(now);
    return same;
}

bool config_differs(const json_t *object, const train_options_t *options,
                    config_difference_t *difference) {
    for (const option_t *option = train_option_rows; option->name; option++) {
        key_of(option, difference->key);
        const json_t *there = json_object_get(object, difference->key);
        if (!there || option->may_change || option->may_resize || option->unrecorded) continue;
        json_t *here = value_json(option, options);
        bool same = same_json(there, here, difference);
        json_decref(here);
        if (!same) return true;
    }
    return false;
}

/* ---- config.json ---- */

enum { DIVISION_CELLS = 65536 }; /* of the largest table in a file */

/* [[samples of class 0, ...] of node 0, ...]; NULL: there is no division, or the table is large. */
static json_t *division_json(const division_t *division) {
    if (!division || division->classes > DIVISION_CELLS / division->nodes) return NULL;
    json_t *nodes = json_array();
    for (int v = 0; v < division->nodes; v++) {
        const uint64_t *counts = division->counts + (size_t)v * (size_t)division->classes;
        json_t *classes = json_array();
        for (int c = 0; c < division->classes; c++)
            json_array_append_new(classes, files_json_u64(counts[c]));
        json_array_append_new(nodes, classes);
    }
    return nodes;
}

static json_t *data_json(const feed_t *feed) {
    const feed_shape_t *shape = feed_shape(feed);
    char checksum[17];
    json_t *mean = json_array(), *deviation = json_array();
    snprintf(checksum, sizeof checksum, "%016" PRIx64, feed_checksum(feed));
    for (int c = 0; c < shape->channels; c++) {
        json_array_append_new(mean, files_json_number((double)feed_mean(feed)[c]));
        json_array_append_new(deviation, files_json_number((double)feed_deviation(feed)[c]));
    }
    return json_pack("{s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:o, s:o, s:s, s:o*}", "format",
                     shape->format, "train_samples", (json_int_t)shape->train_count, "test_samples",
                     (json_int_t)shape->test_count, "height", shape->height, "width", shape->width,
                     "channels", shape->channels, "classes", shape->classes, "mean", mean,
                     "deviation", deviation, "checksum", checksum, "classes_of_nodes",
                     division_json(feed_division(feed)));
}

static json_t *derived_json(const replica_t *replica) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "parameters",
                     (json_int_t)replica->parameters, "buffers", (json_int_t)replica->buffers,
                     "model_memory_bytes", (json_int_t)model_memory_bytes(replica->model),
                     "steps_per_epoch", (json_int_t)replica->steps_per_epoch, "steps",
                     (json_int_t)epochs_total(&replica->epochs), "warmup_steps",
                     files_json_number(replica->schedule.warmup), "warmup_lr",
                     files_json_number(replica->schedule.start), "scaled_lr",
                     files_json_number(replica->schedule.scaled));
}

static json_t *versions_json(void) {
    struct utsname system;
    if (uname(&system) != 0) return json_null();
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "sgp", SGP_VERSION, "compiler", __VERSION__,
                     "jansson", jansson_version_str(), "system", system.sysname, "kernel",
                     system.release, "machine", system.machine);
}

json_t *config_resumed_json(const train_resumed_t *resumed) {
    return json_pack("{s:o, s:i}", "step", files_json_u64(resumed->step), "nodes", resumed->nodes);
}

json_t *config_json(const train_options_t *options, const replica_t *replica, const char *id,
                    const train_resumed_t *resumed) {
    files_json_begin();
    json_t *object = json_pack("{s:s, s:o, s:o, s:o, s:o}", RUN_ID_KEY, id, "options",
                               config_options_json(options), "data", data_json(replica->feed),
                               "derived", derived_json(replica), "versions", versions_json());
    if (!object || resumed->nodes == 0 ||
        json_object_set_new(object, CONFIG_RESUMED, config_resumed_json(resumed)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- what the nodes agree on ---- */

/* Places in the list that are not an option's. */
enum { PLACE_PARAMETERS = 3, PLACE_DATA = 5 };

/* Options behind this place were added after checkpoints existed. The hash in checkpoints holds them only where they are
 * not the default, so that runs of earlier versions can be continued. */
enum { PLACE_OF_FIRST_VERSION = 34 };

/* Of private data only what the model sees: the samples are each node's own. */
static void add_data(const train_options_t *options, const replica_t *replica,
                     agreement_t *agreement) {
    const feed_shape_t *shape = feed_shape(replica->feed);
    if (options->private_data) {
        agreement_add(agreement, "size of a sample", "%d x %d x %d", shape->height, shape->width,
                      shape->channels);
        agreement_add(agreement, "classes", "%d", shape->classes);
        return;
    }
    agreement_add(agreement, "training samples", "%" PRIu64, shape->train_count);
    agreement_add(agreement, "test samples", "%" PRIu64, shape->test_count);
    agreement_add(agreement, "data checksum", "%016" PRIx64, feed_checksum(replica->feed));
}

static const option_t *option_at(int place) {
    for (const option_t *option = train_option_rows; option->name; option++)
        if (option->agreed == place) return option;
    return NULL;
}

static void add_option(const option_t *option, const train_options_t *options,
                       agreement_t *agreement) {
    char text[OPTION_TEXT];
    double number; /* as it is, also if it stands for a default */
    if (option->agree) option->agree(options, text);
    else if (option->type == OPTION_REAL) {
        memcpy(&number, (const char *)options + option->offset, sizeof number);
        snprintf(text, sizeof text, "%.15g", number);
    } else option_print(option, options, 15, text);
    agreement_add(agreement, option->name, "%s", text);
}

static bool is_new_default(const option_t *option, const train_options_t *options) {
    char now[OPTION_TEXT], usual[OPTION_TEXT];
    train_options_t defaults;
    if (option->agreed <= PLACE_OF_FIRST_VERSION) return false;
    train_options_unset(&defaults);
    option_print(option, options, 15, now);
    option_print(option, &defaults, 15, usual);
    return strcmp(now, usual) == 0;
}

/* kept: only what a continued run may not change. */
static void add_all(const train_options_t *options, const replica_t *replica, bool kept,
                    agreement_t *agreement) {
    for (int place = 1;; place++) {
        const option_t *option = option_at(place);
        if (place == PLACE_PARAMETERS)
            agreement_add(agreement, "parameters", "%zu", replica->parameters);
        else if (place == PLACE_DATA) add_data(options, replica, agreement);
        else if (!option) return;
        else if (!kept || (!option->may_change && !is_new_default(option, options)))
            add_option(option, options, agreement);
    }
}

void config_agreement(const train_options_t *options, const replica_t *replica,
                      agreement_t *agreement) {
    agreement_init(agreement);
    agreement_add(agreement, "version", "%s", SGP_VERSION);
    add_all(options, replica, false, agreement);
    if (feed_division(replica->feed)) /* the logarithms of two machines may differ */
        agreement_add(agreement, "division of the samples", "%016" PRIx64,
                      feed_division_hash(replica->feed));
    if (replica->initial_hash[0])
        agreement_add(agreement, "initial parameters", "%s", replica->initial_hash);
}

void config_fingerprint(const train_options_t *options, const replica_t *replica,
                        char text[CONTENT_HASH_TEXT]) {
    agreement_t agreement;
    agreement_init(&agreement);
    add_all(options, replica, true, &agreement);
    content_hash_of(agreement.text, agreement.length, text);
}
