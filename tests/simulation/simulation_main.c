/* SPDX-License-Identifier: Apache-2.0 */
/* Deterministic simulation: runs of the library's own code over loopback in virtual time, with faults, everything drawn from
 * a seed. A run checks what must hold after each step and call, and at its end (docs/membership.md, "Simulation").
 *
 *   simulation --seeds 1-500              a range; prints each seed that fails, and exits with 1
 *   simulation --seeds 77,90-99           several
 *   simulation --seed 77 --trace          one run, with its scenario, steps, messages and calls
 *   simulation --seeds 1-500 --faults kill,leave
 *
 * The range is divided among processes. One that crashes, or does not come to the end of a run, is a failure of that seed,
 * and another one goes on behind it. */
#include "seed_range.h"
#include "simulation_run.h"

#include "base/logging.h"
#include "mixing/algorithm_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RANGES = 32 };

typedef struct range {
    uint64_t first, last;
} range_t;

typedef struct options {
    range_t ranges[MOST_RANGES]; /* of seeds */
    int ranges_count;
    int processes;
    int twice_every; /* every so manieth seed is run twice, and the hashes compared */
    int most;        /* failures after which the range ends */
    bool trace;
    scenario_settings_t settings;
} options_t;

static const char usage[] =
    "usage: simulation [--seeds A-B,... | --seed N [--trace]] [--faults KIND,...] [--algorithms "
    "NAME,...]\n"
    "                  [--processes N] [--twice-every N] [--silence-ms MS] [--failures N]\n"
    "  --seeds A-B,...   runs of these seeds (1-100)\n"
    "  --seed N          one run\n"
    "  --trace           tell its scenario, steps, messages and calls\n"
    "  --faults          kill, leave, stall, cut, or none (all)\n"
    "  --algorithms      those that an elastic group can use (all of them)\n"
    "  --processes N     at a time (the processors)\n"
    "  --twice-every N   runs every N-th seed twice, which must give the same bits (8; 0: never)\n"
    "  --silence-ms MS   most that a node that stalls, or is cut off, may cost the others (as long "
    "as it lasts)\n"
    "  --failures N      end after so many (20)\n";

static void refuse(const char *option, const char *value) {
    fprintf(stderr, "simulation: %s %s: wrong\n%s", option, value ? value : "", usage);
    exit(2);
}

static uint64_t number(const char *option, const char *text) {
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end) refuse(option, text);
    return value;
}

static void parse_range(options_t *options, const char *text) {
    char *end;
    range_t range;
    range.first = range.last = strtoull(text, &end, 10);
    if (end == text) refuse("--seeds", text);
    if (*end == '-') range.last = number("--seeds", end + 1);
    else if (*end) refuse("--seeds", text);
    if (range.last < range.first || options->ranges_count == MOST_RANGES) refuse("--seeds", text);
    options->ranges[options->ranges_count++] = range;
}

static void parse_seeds(options_t *options, char *list) {
    options->ranges_count = 0;
    for (char *text; (text = strsep(&list, ","));) parse_range(options, text);
}

static bool is_one(const options_t *options) {
    return options->ranges_count == 1 && options->ranges[0].first == options->ranges[0].last;
}

static unsigned kind_of(const char *name) {
#define ROW(text, bit)                                                                             \
    if (!strcmp(name, text)) return bit;
    SCENARIO_KINDS_MAP(ROW)
#undef ROW
    refuse("--faults", name);
    return 0;
}

static void parse_faults(options_t *options, char *list) {
    options->settings.kinds = 0;
    if (!strcmp(list, "none")) return;
    for (char *name; (name = strsep(&list, ","));) options->settings.kinds |= kind_of(name);
}

static void parse_algorithms(options_t *options, char *list) {
    scenario_settings_t *settings = &options->settings;
    settings->algorithms_count = 0;
    for (char *name; (name = strsep(&list, ","));) {
        sgp_algorithm_t algorithm;
        if (sgp_algorithm_parse(name, &algorithm) != SGP_OK || !simulation_can_use(algorithm))
            refuse("--algorithms", name);
        if (settings->algorithms_count == SCENARIO_ALGORITHMS) refuse("--algorithms", name);
        settings->algorithms[settings->algorithms_count++] = algorithm;
    }
}

static void take_all_algorithms(scenario_settings_t *settings) {
    for (int a = 0; sgp_algorithm_info((sgp_algorithm_t)a); a++)
        if (simulation_can_use((sgp_algorithm_t)a))
            settings->algorithms[settings->algorithms_count++] = (sgp_algorithm_t)a;
}

/* Those with a value. */
static void parse_pair(options_t *options, const char *option, char *value) {
    if (!value) refuse(option, NULL);
    if (!strcmp(option, "--seeds") || !strcmp(option, "--seed")) parse_seeds(options, value);
    else if (!strcmp(option, "--faults")) parse_faults(options, value);
    else if (!strcmp(option, "--algorithms")) parse_algorithms(options, value);
    else if (!strcmp(option, "--processes")) options->processes = (int)number(option, value);
    else if (!strcmp(option, "--twice-every")) options->twice_every = (int)number(option, value);
    else if (!strcmp(option, "--failures")) options->most = (int)number(option, value);
    else if (!strcmp(option, "--silence-ms"))
        options->settings.silence_ns = number(option, value) * SCENARIO_MS;
    else refuse(option, "");
}

static void parse(int count, char **arguments, options_t *options) {
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--help")) {
            fputs(usage, stdout);
            exit(0);
        }
        if (!strcmp(arguments[i], "--trace")) options->trace = true;
        else parse_pair(options, arguments[i], i + 1 < count ? arguments[i + 1] : NULL), i++;
    }
    if (options->processes < 1) options->processes = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (options->ranges_count == 0)
        options->ranges[options->ranges_count++] = (range_t){.first = 1, .last = 100};
    if (options->trace && !is_one(options)) refuse("--trace", "with a range");
}

/* ---- runs ---- */

static void run_seed(uint64_t seed, void *context, outcome_t *outcome) {
    const options_t *options = context;
    scenario_t scenario;
    outcome_t again;
    scenario_draw(seed, &options->settings, &scenario);
    simulation_run_scenario(&scenario, options->trace ? stdout : NULL, outcome);
    bool twice = options->twice_every > 0 && seed % (uint64_t)options->twice_every == 0;
    if (!twice || *outcome->failure) return;
    simulation_run_scenario(&scenario, NULL, &again);
    if (again.hash != outcome->hash)
        snprintf(outcome->failure, sizeof outcome->failure,
                 "the second run has other results: %016" PRIx64 ", then %016" PRIx64,
                 outcome->hash, again.hash);
}

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    printf("               node %d: %s\n", rank, line);
}

static int run_one(options_t *options) {
    scenario_t scenario;
    outcome_t outcome;
    scenario_draw(options->ranges[0].first, &options->settings, &scenario);
    scenario_print(&scenario, stdout);
    if (options->trace) sgp_log_set(print_log, NULL, SGP_LOG_INFO);
    if (!options->trace) options->twice_every = 1;
    else options->twice_every = 0;
    run_seed(options->ranges[0].first, options, &outcome);
    if (*outcome.failure) printf("FAILED: %s\n", outcome.failure);
    else
        printf("passed: %d steps, %d calls; %d nodes did not come to the end, %d messages torn, %d "
               "returned; hash %016" PRIx64 "\n",
               outcome.steps, outcome.calls, outcome.lost, outcome.torn, outcome.returned,
               outcome.hash);
    return *outcome.failure != 0;
}

int main(int count, char **arguments) {
    static options_t options = {.twice_every = 8, .most = 20};
    options.settings.kinds =
        SCENARIO_KILL | SCENARIO_LEAVE | SCENARIO_STALL | SCENARIO_CUT | SCENARIO_JOIN;
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
    parse(count, arguments, &options);
    if (options.settings.algorithms_count == 0) take_all_algorithms(&options.settings);
    if (is_one(&options)) return run_one(&options);
    int failures = 0;
    for (int i = 0; i < options.ranges_count && failures < options.most; i++)
        failures += seed_range_run(options.ranges[i].first, options.ranges[i].last,
                                   options.processes, options.most - failures, run_seed, &options);
    return failures > 0;
}
