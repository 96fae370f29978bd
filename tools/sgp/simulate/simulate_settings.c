/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulate_settings.h"

#include "cli/message.h"

#include "base/logging.h"
#include "codec/codec.h"
#include "files/json.h"
#include "graph/families.h"
#include "mixing/algorithm_table.h"
#include "mixing/mixer_internal.h"
#include "mixing/mixer_options.h"
#include "run/option_values.h"
#include "simulate/calibration.h"
#include "simulate/presets.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT(member) offsetof(simulate_settings_t, member)

enum { MOST_NODES = 100000, WARMUP_PART = 5 };

static simulate_settings_t *settings_at(void *value, size_t offset) {
    return (simulate_settings_t *)((char *)value - offset);
}

/* A number of 0 or more, with `above` of more than 0, and its end; false: the text is none. */
static bool read_number(const char *text, bool above, double *value, char **end) {
    if (!strchr("0123456789.", *text)) return false;
    *value = strtod(text, end);
    return *end != text && isfinite(*value) && (above ? *value > 0 : *value >= 0);
}

/* "4,8,16". */
static bool parse_nodes(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(nodes));
    for (settings->nodes_count = 0; settings->nodes_count < SIMULATE_LIST;) {
        char *end;
        long count = strtol(text, &end, 10);
        if (end == text || count < 1 || count > MOST_NODES) return false;
        settings->nodes[settings->nodes_count++] = (int)count;
        if (*end == '\0') return true;
        if (*end != ',') return false;
        text = end + 1;
    }
    return false;
}

/* "sgp,osgp". */
static bool parse_algorithms(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(algorithms));
    for (settings->algorithms_count = 0; settings->algorithms_count < SIMULATE_LIST;) {
        char name[32];
        size_t length = strcspn(text, ",");
        if (length == 0 || length >= sizeof name) return false;
        memcpy(name, text, length);
        name[length] = '\0';
        const simulation_algorithm_t *algorithm = simulation_algorithm_find(name);
        if (!algorithm) return false;
        settings->algorithms[settings->algorithms_count++] = algorithm;
        if (text[length] == '\0') return true;
        text += length + 1;
    }
    return false;
}

/* "25.6M". */
static bool parse_parameters(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(simulation.parameters));
    static const struct {
        char letter;
        double times;
    } units[] = {{'K', 1e3}, {'M', 1e6}, {'G', 1e9}, {'B', 1e9}};
    double count;
    char *end;
    if (!read_number(text, true, &count, &end)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units && *end; i++)
        if (*end == units[i].letter && end[1] == '\0') count *= units[i].times, end++;
    if (*end || count < 1 || count > 1e13) return false;
    settings->simulation.parameters = round(count);
    settings->parameters_given = true;
    return true;
}

/* "MEAN[:SPREAD[:TAIL]]". */
static bool parse_compute(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(simulation.compute));
    simulation_compute_t *compute = &settings->simulation.compute;
    char *end;
    *compute = (simulation_compute_t){0};
    settings->compute_given = true;
    if (!read_number(text, true, &compute->mean_ms, &end) || compute->mean_ms > 1e6) return false;
    if (*end == ':' && !read_number(end + 1, false, &compute->spread, &end)) return false;
    if (*end == ':' && !read_number(end + 1, false, &compute->tail, &end)) return false;
    return *end == '\0' && compute->spread <= 10 && compute->tail <= 1;
}

/* "UPDATE[:COPY[:ABSORB]]". */
static bool parse_local(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(simulation.local));
    simulation_local_t *local = &settings->simulation.local;
    char *end;
    *local = (simulation_local_t){0};
    settings->local_given = true;
    if (!read_number(text, false, &local->update_ms, &end)) return false;
    if (*end == ':' && !read_number(end + 1, false, &local->copy_ms, &end)) return false;
    if (*end == ':' && !read_number(end + 1, false, &local->absorb_ms, &end)) return false;
    return *end == '\0';
}

static bool parse_network(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(network_name));
    if (*text == '\0') return false;
    settings->network_name = text;
    settings->network_given = true;
    return true;
}

/* "RANK:FACTOR". */
static bool parse_slow_node(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(simulation.slow));
    char *colon, *end;
    long rank = strtol(text, &colon, 10);
    if (colon == text || *colon != ':' || rank < 0 || rank >= MOST_NODES) return false;
    settings->simulation.slow.rank = (int)rank;
    return read_number(colon + 1, true, &settings->simulation.slow.factor, &end) && *end == '\0' &&
           settings->simulation.slow.factor >= 1;
}

/* "MTBF[:REPAIR]". */
static bool parse_failures(const char *text, void *value) {
    simulate_settings_t *settings = settings_at(value, AT(simulation.failures_s));
    simulation_settings_t *simulation = &settings->simulation;
    char *end;
    simulation->repair_s = -1;
    if (!read_number(text, true, &simulation->failures_s, &end)) return false;
    if (*end == ':' && !read_number(end + 1, false, &simulation->repair_s, &end)) return false;
    return *end == '\0' && simulation->failures_s <= 1e12 && simulation->repair_s <= 1e12;
}

/* Steps, or "async". */
static bool parse_overlap(const char *text, void *value) {
    char *end;
    long steps = strtol(text, &end, 10);
    if (!strcmp(text, "async")) steps = SGP_OVERLAP_ASYNC;
    else if (end == text || *end != '\0' || steps < 1 || steps > 1000) return false;
    *(int *)value = (int)steps;
    return true;
}

static const option_t options[] = {
    {.name = "nodes",
     .argument = "N,...",
     .type = OPTION_PARSED,
     .offset = AT(nodes),
     .parse = parse_nodes,
     .shown = "4,8,16,32",
     .wanted = "up to 16 numbers of nodes from 1 to 100000, such as 4,8,16",
     .help = "numbers of nodes in the simulated cluster: one row for each"},
    {.name = "algorithm",
     .argument = "NAME,...",
     .type = OPTION_PARSED,
     .offset = AT(algorithms),
     .parse = parse_algorithms,
     .list = simulation_algorithm_names,
     .shown = "allreduce,sgp,osgp",
     .wanted = "names, with commas between them, among sgp, osgp, osgp-async, dpsgd, adpsgd, "
               "allreduce, allreduce-buckets, allreduce-ring, allreduce-halving, allreduce-tree",
     .help = "how the nodes average",
     .more = "*sgp*, *osgp*, *dpsgd*, *adpsgd* and *allreduce* are the algorithms of sgp train; "
             "*osgp-async* is osgp with --overlap async. The others are what other programs do, "
             "for comparison. *allreduce-buckets*: the same all-reduce in buckets of 25 MiB while "
             "the rest of the gradient is computed, as PyTorch's DistributedDataParallel does; "
             "forward is a third of the gradient. *allreduce-ring*: segments around a ring, after "
             "the gradient. *allreduce-halving*: recursive halving and doubling, after the "
             "gradient. *allreduce-tree*: the whole vector up and down a binomial tree."},
    {.name = "model",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(model),
     .list = simulation_model_names,
     .shown = "resnet50, or the calibration's",
     .help = "the model whose number of parameters is averaged",
     .more = "The transformer is the base model, with 65 million parameters."},
    {.name = "parameters",
     .argument = "P",
     .type = OPTION_PARSED,
     .offset = AT(simulation.parameters),
     .parse = parse_parameters,
     .shown = "the model's",
     .wanted = "a number of 1 or more, such as 25.6M",
     .help = "numbers that are averaged; K, M or G stand for thousands, millions, billions"},
    {.name = "compute-ms",
     .argument = "MEAN[:SPREAD[:TAIL]]",
     .type = OPTION_PARSED,
     .offset = AT(simulation.compute),
     .parse = parse_compute,
     .shown = "245:0.01",
     .wanted = "MEAN[:SPREAD[:TAIL]], a time in milliseconds above 0, a spread up to 10 and a "
               "probability, such as 245:0.05:0.001",
     .help = "a gradient's time on one worker: log-normal, SPREAD its standard deviation over its "
             "mean; with probability TAIL ten times as long",
     .more = "It is drawn for each worker and step. A node waits for the slowest of its workers."},
    {.name = "workers-per-node",
     .argument = "M",
     .type = OPTION_INT,
     .offset = AT(simulation.workers),
     .min = 1,
     .max = 1024,
     .shown = "8; 1 with --calibration",
     .help = "workers that compute gradients inside a node; their own average is part of the "
             "gradient's time"},
    {.name = "batch-size",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(simulation.batch_size),
     .min = 1,
     .max = 65536,
     .shown = "32, or the calibration's",
     .help = "samples per worker and step"},
    {.name = "network",
     .argument = "NAME",
     .type = OPTION_PARSED,
     .offset = AT(network_name),
     .parse = parse_network,
     .list = simulation_network_names,
     .shown = "ethernet-10g",
     .wanted = "the name of a network or of a file",
     .help = "links of the nodes to a switch; or a SimGrid platform, FILE.xml, whose hosts are "
             "the nodes in the natural order of their names",
     .more = "Payload each way and latency from node to node of *ethernet-1g*: 949 Mb/s, 0.05 ms; "
             "*ethernet-10g*: 9.91 Gb/s, 0.03 ms; *ethernet-100g*: 99.1 Gb/s, 0.02 ms; "
             "*infiniband-100g*: 97 Gb/s, 0.002 ms; *wan*: 200 Mb/s, 25 ms. The switch is never "
             "busy."},
    {.name = "rate-mbps",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(rate_mbps),
     .min = DBL_MIN,
     .max = 1e9,
     .shown = "the network's",
     .wanted = "a number of megabits a second above 0",
     .help = "payload that a node's link carries each way"},
    {.name = "latency-ms",
     .argument = "X",
     .type = OPTION_REAL,
     .offset = AT(latency_ms),
     .initial = "-1",
     .max = 1e6,
     .shown = "the network's",
     .wanted = "a time in milliseconds, 0 or more",
     .help = "latency of a small message from node to node"},
    {.name = "local-ms",
     .argument = "UPDATE[:COPY[:ABSORB]]",
     .type = OPTION_PARSED,
     .offset = AT(simulation.local),
     .parse = parse_local,
     .shown = "0:0:0",
     .wanted = "UPDATE[:COPY[:ABSORB]], times in milliseconds, 0 or more",
     .help = "passes over the model's vector: the optimizer's step, writing it into a message, "
             "absorbing one",
     .more = "Those of an accelerator take nearly nothing."},
    {.name = "calibration",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(calibration),
     .shown = "",
     .wanted = "the name of a file of sgp bench",
     .help = "constants that sgp bench has measured, for every option that is not given"},
    {.name = "encoding",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(encoding_name),
     .initial = "float32",
     .list = sgp_encoding_names,
     .help = "how vectors travel between nodes"},
    {.name = "graph",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(simulation.graph),
     .list = sgp_graph_names,
     .shown = SGP_DEFAULT_GRAPH_TEXT,
     .help = "the graph of who sends to whom"},
    {.name = "peers",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(simulation.peers),
     .initial = "1",
     .min = 1,
     .max = MOST_NODES,
     .help = "receivers of each node in a step"},
    {.name = "overlap",
     .argument = "T",
     .type = OPTION_PARSED,
     .offset = AT(simulation.overlap),
     .parse = parse_overlap,
     .shown = "1",
     .wanted = "a number of steps from 1 to 1000, or async",
     .help = "for osgp: steps a message may be late; async: wait for nothing"},
    {.name = "rounds",
     .argument = "R",
     .type = OPTION_PARSED,
     .offset = AT(simulation.rounds),
     .initial = "1",
     .parse = value_parse_rounds,
     .wanted = "a number from 1 to 64, or auto",
     .help = "for sgp and dpsgd: exchanges per step; auto: the graph's period"},
    {.name = "slow-node",
     .argument = "RANK:FACTOR",
     .type = OPTION_PARSED,
     .offset = AT(simulation.slow),
     .parse = parse_slow_node,
     .shown = "",
     .wanted = "RANK:FACTOR with a factor of 1 or more, such as 0:4",
     .help = "make one node's gradients take FACTOR times as long"},
    {.name = "failures",
     .argument = "MTBF[:REPAIR]",
     .type = OPTION_PARSED,
     .offset = AT(simulation.failures_s),
     .parse = parse_failures,
     .shown = "none",
     .wanted = "seconds above 0, such as 86400 or 86400:300",
     .help = "mean seconds between failures of one node, and until another one is in its place: "
             "what they cost",
     .more = "Where the others go on, each row is simulated again with nodes that fail (one of "
             "16, eight at most): nobody waits for them after 0.5 seconds. From what a failure "
             "costs the others, and the nodes that are at work, follows the time of 90 epochs. "
             "Where a failure ends the run, it is noticed after 10 seconds, and all nodes begin "
             "again 60 seconds later, with a spare one. Without REPAIR lost nodes do not come "
             "back."},
    {.name = "distance-at",
     .argument = "SECONDS",
     .type = OPTION_REAL,
     .offset = AT(simulation.distance_at_s),
     .min = DBL_MIN,
     .max = 1e12,
     .shown = "not",
     .wanted = "a number of seconds above 0",
     .help = "measure the consensus distance also after so many simulated seconds, with the steps "
             "made until then",
     .more = "Each node counts from the first step that it ends then or later. So algorithms are "
             "compared after the same time instead of after the same number of steps; --steps "
             "must be large enough for all nodes to get so far."},
    {.name = "steps",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(simulation.steps),
     .initial = "100",
     .min = 1,
     .max = 1e7,
     .help = "steps of every node"},
    {.name = "warmup-steps",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(simulation.warmup),
     .initial = "-1",
     .max = 1e7,
     .shown = "a fifth",
     .help = "the first steps, which are not measured"},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .offset = AT(simulation.seed),
     .initial = "1",
     .wanted = "a whole number, 0 or more",
     .help = "seed of every random choice"},
    {.name = "output",
     .argument = "DIR",
     .type = OPTION_STRING,
     .offset = AT(output),
     .shown = "runs/simulation-NETWORK-TIME",
     .wanted = "a directory",
     .help = "directory for simulation.json and report.html, created if missing"},
    {.name = "quiet",
     .type = OPTION_FLAG,
     .offset = AT(quiet),
     .help = "no progress, no table and no report.html; errors only"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print simulation.json as the last line on standard output, and no table"},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t simulate_table = {
    .command = "simulate",
    .any_bytes = true,
    .synopsis = "sgp simulate [OPTIONS]",
    .about = "Runs the algorithms on a simulated cluster (SimGrid), with the code that trains,\n"
             "and prints how long their steps take. Without options: ResNet-50 on up to 32\n"
             "nodes of 8 GPUs, joined by 10 Gb/s Ethernet. In parentheses: what is used when\n"
             "the option is not given.",
    .parts = {{.rows = options}},
};

void simulate_settings_init(simulate_settings_t *settings) {
    *settings = (simulate_settings_t){
        .nodes = {4, 8, 16, 32},
        .nodes_count = 4,
        .algorithms = {simulation_algorithm_find("allreduce"), simulation_algorithm_find("sgp"),
                       simulation_algorithm_find("osgp")},
        .algorithms_count = 3,
        .simulation = {.compute = {.mean_ms = 245, .spread = 0.01},
                       .overlap = 1,
                       .slow = {.rank = -1}},
        .network_name = "ethernet-10g",
    };
    options_init(&simulate_table, settings);
}

/* ---- checks ---- */

static bool choose_network(simulate_settings_t *settings) {
    const char *name = settings->network_name;
    if (simulation_network_find(name, &settings->simulation.network)) return true;
    settings->simulation.network = (simulation_network_t){.name = name, .platform = name};
    struct stat found;
    bool exists = stat(name, &found) == 0;
    if (exists && !S_ISDIR(found.st_mode) && access(name, R_OK) == 0) return true;
    if (exists || strpbrk(name, "./"))
        message_error("--network %s: %s", name,
                      exists && S_ISDIR(found.st_mode) ? "is a directory" : strerror(errno));
    else
        message_error("--network %s: must be one of %s, or a file of a SimGrid platform", name,
                      simulation_network_names());
    return false;
}

static bool override_network(simulate_settings_t *settings) {
    simulation_network_t *network = &settings->simulation.network;
    bool given = settings->rate_mbps > 0 || settings->latency_ms >= 0;
    if (network->platform && given) {
        message_error("--network %s: the file sets rates and latencies; --rate-mbps and "
                      "--latency-ms work with %s",
                      network->platform, simulation_network_names());
        return false;
    }
    if (given) network->name = "custom";
    if (settings->rate_mbps > 0) network->bytes_per_second = settings->rate_mbps * 1e6 / 8;
    if (settings->latency_ms >= 0) network->latency_ms = settings->latency_ms;
    return true;
}

/* The vectors of a simulation are too short for chunks of whole blocks that know the receiver. */
static bool is_simulated(sgp_encoding_t encoding, const char *algorithm) {
    if (!sgp_encoding_modulo_bits(encoding)) return true;
    sgp_fail(SGP_ERR_INVALID, "encoding %s with %s is not simulated; int8 is",
             sgp_encoding_name(encoding), algorithm);
    return false;
}

/* Finds invalid combinations before the first row. */
static bool check_rows(const simulate_settings_t *settings) {
    for (int a = 0; a < settings->algorithms_count; a++) {
        const simulation_algorithm_t *algorithm = settings->algorithms[a];
        if (algorithm->kind != SIMULATION_MIXER) {
            if (!is_simulated(settings->simulation.encoding, algorithm->name)) return false;
            continue;
        }
        for (int i = 0; i < settings->nodes_count; i++) {
            sgp_mixer_options_t mixer =
                simulation_mixer_options(&settings->simulation, algorithm, settings->nodes[i]);
            if (sgp_mixer_check(&mixer) != SGP_OK) return false;
            if (!is_simulated(sgp_mixer_encoding(&mixer), algorithm->name)) return false;
        }
    }
    return true;
}

static bool check_slow_node(const simulate_settings_t *settings) {
    for (int i = 0; i < settings->nodes_count; i++) {
        if (settings->simulation.slow.rank < settings->nodes[i]) continue;
        message_error("--slow-node %d: with %d nodes the last one is %d",
                      settings->simulation.slow.rank, settings->nodes[i], settings->nodes[i] - 1);
        return false;
    }
    return true;
}

static bool check_steps(simulate_settings_t *settings) {
    if (settings->simulation.warmup < 0)
        settings->simulation.warmup = settings->simulation.steps / WARMUP_PART;
    if (settings->simulation.warmup < settings->simulation.steps) return true;
    message_error("--warmup-steps %d: must be less than the steps, %d", settings->simulation.warmup,
                  settings->simulation.steps);
    return false;
}

/* Settings that neither the command line nor a calibration gives: the cluster of the paper's figure. */
static void fill_defaults(simulate_settings_t *settings) {
    if (settings->simulation.parameters == 0) {
        settings->model = "resnet50";
        settings->simulation.parameters = simulation_model_parameters(settings->model);
    }
    if (settings->simulation.workers == 0)
        settings->simulation.workers = settings->calibration ? 1 : 8;
    if (settings->simulation.batch_size == 0) settings->simulation.batch_size = 32;
}

/* Fills in the settings that the command line leaves open. */
static void take_calibration(simulate_settings_t *settings, const simulation_calibration_t *found) {
    simulation_settings_t *simulation = &settings->simulation;
    if (!settings->network_given) simulation->network = found->network;
    if (!settings->compute_given) simulation->compute = found->compute;
    if (!settings->local_given) simulation->local = found->local;
    if (simulation->batch_size == 0) simulation->batch_size = found->batch_size;
    settings->pass_parameters = found->pass_parameters;
    if (simulation->parameters > 0) return;
    simulation->parameters = found->parameters;
    settings->model = found->model; /* kept to the program's end */
}

static bool read_calibration(simulate_settings_t *settings) {
    simulation_settings_t *simulation = &settings->simulation;
    simulation_calibration_t found = {
        .network = simulation->network, .compute = simulation->compute, .local = simulation->local};
    json_error_t error;
    const char *wrong = NULL;
    json_t *json = files_json_load(settings->calibration, 0, &error);
    if (!json) {
        message_error("--calibration %s: %s", settings->calibration, error.text);
        return false;
    }
    sgp_status_t status = simulation_calibration_read(json, &found, &wrong);
    json_decref(json);
    if (status == SGP_OK) {
        take_calibration(settings, &found);
        return true;
    }
    message_error("--calibration %s: %s%s", settings->calibration, wrong ? wrong : "out of memory",
                  wrong ? " is not as sgp bench writes it" : "");
    return false;
}

static void scale_passes(simulate_settings_t *settings) {
    if (settings->local_given || settings->pass_parameters == 0) return;
    double scale = settings->simulation.parameters / settings->pass_parameters;
    settings->simulation.local.update_ms *= scale;
    settings->simulation.local.copy_ms *= scale;
    settings->simulation.local.absorb_ms *= scale;
}

bool simulate_settings_finish(simulate_settings_t *settings) {
    sgp_encoding_parse(settings->encoding_name, &settings->simulation.encoding);
    if (!choose_network(settings)) return false;
    if (settings->model && !settings->parameters_given)
        settings->simulation.parameters = simulation_model_parameters(settings->model);
    if (settings->parameters_given) settings->model = NULL;
    if (settings->calibration && !read_calibration(settings)) return false;
    fill_defaults(settings);
    scale_passes(settings);
    return override_network(settings) && check_slow_node(settings) && check_steps(settings) &&
           check_rows(settings);
}
