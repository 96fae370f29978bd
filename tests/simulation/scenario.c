/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include "base/random.h"
#include "mixing/algorithm_table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Streams of random numbers of a seed. */
enum {
    STREAM_SCENARIO = 1,
    STREAM_JOINS,
    STREAM_ROUNDS,
    STREAM_COMPUTE = 1000,
    STREAM_VECTOR = 2000
};

enum { STEPS_DRAWN = 40 /* without newcomers */ };

static double draw(sgp_random_t *random, double least, double most) {
    return least + (most - least) * sgp_random_double(random);
}

static int draw_int(sgp_random_t *random, int least, int most) {
    return least + (int)sgp_random_below(random, (uint64_t)(most - least + 1));
}

static bool chance(sgp_random_t *random, double probability) {
    return sgp_random_double(random) < probability;
}

/* ---- the mixer ---- */

/* Whether the graph, which passes its own check, serves the algorithm and survives a hole. */
static bool fits(sgp_algorithm_t algorithm, const sgp_graph_t *graph) {
    sgp_graph_need_t need = sgp_algorithm_info(algorithm)->graph;
    if (graph->kind == SGP_GRAPH_RANDOM_UNEVEN) return false; /* it is no method of averaging */
    if (graph->kind == SGP_GRAPH_RING && graph->size > 2 && sgp_graph_max_degree(graph) < 2)
        return false;
    if (need == SGP_NEEDS_SYMMETRIC_GRAPH) return sgp_graph_symmetric(graph);
    if (need == SGP_NEEDS_BIPARTITE_GRAPH) return graph->kind == SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    return true;
}

static void draw_graph(sgp_random_t *random, const scenario_t *scenario, sgp_graph_t *graph) {
    sgp_algorithm_t algorithm = scenario->options.algorithm;
    for (int tries = 0; tries < 1000; tries++) {
        *graph = (sgp_graph_t){
            .kind = (sgp_graph_kind_t)draw_int(random, 0, SGP_GRAPH_RANDOM_UNEVEN),
            .size = scenario->nodes,
            .peers = chance(random, 0.7) ? 1 : draw_int(random, 1, 3),
            .seed = scenario->seed,
        };
        if (graph->peers >= graph->size && graph->size > 1) graph->peers = graph->size - 1;
        if (sgp_graph_check(graph) == SGP_OK && fits(algorithm, graph)) return;
    }
    *graph = (sgp_graph_t){.kind = sgp_algorithm_default_graph(algorithm), .size = scenario->nodes};
}

static void draw_rounds(scenario_t *scenario) {
    sgp_mixer_options_t *options = &scenario->options;
    sgp_random_t random;
    sgp_random_init(&random, scenario->seed, STREAM_ROUNDS);
    if (sgp_algorithm_info(options->algorithm)->rounds && options->overlap == 0)
        options->rounds = draw_int(&random, 1, 3);
}

static void draw_mixer(sgp_random_t *random, const scenario_settings_t *settings,
                       scenario_t *scenario) {
    static const int overlaps[] = {1, 1, 2, 3, SGP_OVERLAP_ASYNC, SGP_OVERLAP_ASYNC};
    static const sgp_encoding_t encodings[] = {SGP_ENCODING_FLOAT32, SGP_ENCODING_FLOAT32,
                                               SGP_ENCODING_BFLOAT16, SGP_ENCODING_FLOAT16,
                                               SGP_ENCODING_INT8};
    sgp_mixer_options_t *options = &scenario->options;
    options->count = SCENARIO_LENGTH;
    options->algorithm = settings->algorithms[draw_int(random, 0, settings->algorithms_count - 1)];
    if (options->algorithm == SGP_ALGORITHM_OSGP)
        options->overlap = overlaps[draw_int(random, 0, 5)];
    options->encoding = encodings[draw_int(random, 0, 4)];
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE && options->encoding == SGP_ENCODING_INT8 &&
        scenario->seed % 2)
        options->encoding = SGP_ENCODING_INT4;
    if (chance(random, 0.15)) options->local_steps = draw_int(random, 2, 3);
    draw_graph(random, scenario, &options->graph);
    draw_rounds(scenario);
}

/* With many peers and an overlap a node gives away nearly all of its weight before anything comes back. The step of the
 * local update is lr / w: only below 1 does it keep z between z and the gradient's target. */
static bool may_train(const sgp_mixer_options_t *options) {
    /* It moves each node by the mean gradient of all, whatever their own z. */
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE) return false;
    int late = options->overlap > 0 ? options->overlap : 0;
    double kept = 1.0 / (1 + sgp_graph_max_degree(&options->graph));
    return pow(kept, 1 + late) > 1.2 * SCENARIO_LEARNING_RATE;
}

/* ---- time, calls ---- */

static void draw_times(sgp_random_t *random, scenario_t *scenario) {
    double compute = draw(random, 0.2, 6) * SCENARIO_MS;
    for (int r = 0; r < scenario->nodes; r++) scenario->compute_ns[r] = compute;
    if (chance(random, 0.3))
        scenario->compute_ns[draw_int(random, 0, scenario->nodes - 1)] *= draw(random, 1, 6);
    scenario->loopback = (sgp_loopback_options_t){
        .size = scenario->nodes,
        .chunk_bytes = SCENARIO_CHUNK,
        .virtual_time = true,
        .one_at_a_time = true,
        .suspect_ns = SCENARIO_SUSPECT_MS * (uint64_t)SCENARIO_MS,
        .seed = scenario->seed,
        .delay_min_ns = chance(random, 0.2) ? 0 : 20000,
        .delay_max_ns = (uint64_t)(draw(random, 0.05, 5) * SCENARIO_MS),
    };
}

static void draw_calls(sgp_random_t *random, scenario_t *scenario) {
    double share = draw(random, 0, 0.3);
    scenario->steps = draw_int(random, 10, STEPS_DRAWN);
    for (int k = 0; k < scenario->steps; k++) {
        if (!chance(random, share)) continue;
        scenario->calls[k] =
            chance(random, 0.5)
                ? SCENARIO_AVERAGE
                : (scenario_call_t)draw_int(random, SCENARIO_BARRIER, SCENARIO_CALLS - 1);
    }
}

/* ---- faults ---- */

typedef struct fates {
    bool ends[SCENARIO_NODES]; /* the node is killed, or leaves */
    int living;
    uint64_t run_ns; /* of the run without faults, about */
    uint64_t last_kill;
} fates_t;

static uint64_t draw_time(sgp_random_t *random, const fates_t *fates) {
    return (uint64_t)(draw(random, 0, 1.1) * (double)fates->run_ns);
}

static void add_fault(scenario_t *scenario, sgp_loopback_fault_t fault) {
    if (scenario->faults_count < SCENARIO_FAULTS)
        scenario->faults[scenario->faults_count++] = fault;
}

/* One node lives to the end. A time finds all nodes asleep; a call hits a node in the middle of its work, and with a
 * logarithmic draw often at its start. */
static void draw_kill(sgp_random_t *random, scenario_t *scenario, fates_t *fates) {
    int seat = draw_int(random, 0, scenario->nodes - 1);
    if (fates->ends[seat] || fates->living < 2) return;
    fates->ends[seat] = true;
    fates->living--;
    uint64_t time = draw_time(random, fates);
    if (chance(random, 0.25)) time = fates->last_kill; /* two at once */
    fates->last_kill = time;
    if (chance(random, 0.4)) {
        add_fault(scenario, (sgp_loopback_fault_t){SGP_FAULT_KILL, seat, 0, time, 0, 0});
        return;
    }
    uint64_t call = (uint64_t)draw_int(random, 1, chance(random, 0.2) ? 60 : 40 * scenario->steps);
    add_fault(scenario, (sgp_loopback_fault_t){SGP_FAULT_KILL_AT_CALL, seat, 0, 0, 0, call});
}

static void draw_leave(sgp_random_t *random, scenario_t *scenario, fates_t *fates) {
    int seat = draw_int(random, 0, scenario->nodes - 1);
    if (fates->ends[seat] || fates->living < 2) return;
    fates->ends[seat] = true;
    fates->living--;
    scenario->leaves[seat] = draw_int(random, 0, scenario->steps - 1);
}

static uint64_t draw_length(sgp_random_t *random) {
    return (uint64_t)((chance(random, 0.7) ? draw(random, 2, 300) : draw(random, 300, 5000)) *
                      SCENARIO_MS);
}

static void draw_stall(sgp_random_t *random, scenario_t *scenario, const fates_t *fates) {
    int seat = draw_int(random, 0, scenario->nodes - 1);
    uint64_t time = draw_time(random, fates), length = draw_length(random);
    add_fault(scenario, (sgp_loopback_fault_t){SGP_FAULT_STALL, seat, 0, time, length, 0});
}

static void draw_cut(sgp_random_t *random, scenario_t *scenario, const fates_t *fates) {
    int seat = draw_int(random, 0, scenario->nodes - 1);
    int other = (seat + draw_int(random, 1, scenario->nodes - 1)) % scenario->nodes;
    uint64_t time = draw_time(random, fates), length = draw_length(random);
    sgp_fault_kind_t kind = chance(random, 0.5) ? SGP_FAULT_CUT : SGP_FAULT_CUT_BOTH;
    add_fault(scenario, (sgp_loopback_fault_t){kind, seat, other, time, length, 0});
}

/* None in one run of ten: there the mean must be that of the start. */
static void draw_faults(sgp_random_t *random, const scenario_settings_t *settings,
                        scenario_t *scenario) {
    fates_t fates = {
        .living = scenario->nodes,
        .run_ns = (uint64_t)(scenario->steps *
                             (scenario->compute_ns[0] + (double)scenario->loopback.delay_max_ns))};
    int count = chance(random, 0.1) ? 0 : draw_int(random, 1, chance(random, 0.7) ? 3 : 8);
    for (int i = 0; i < count; i++) {
        unsigned kind = 1u << draw_int(random, 0, 3);
        if (!(kind & settings->kinds)) continue;
        if (kind == SCENARIO_KILL) draw_kill(random, scenario, &fates);
        if (kind == SCENARIO_LEAVE) draw_leave(random, scenario, &fates);
        if (kind == SCENARIO_STALL) draw_stall(random, scenario, &fates);
        if (kind == SCENARIO_CUT) draw_cut(random, scenario, &fates);
    }
    scenario->loopback.faults = scenario->faults;
    scenario->loopback.fault_count = scenario->faults_count;
}

/* ---- newcomers ---- */

/* So far only where nodes mix in rounds; a ring of two nodes would become one that a hole cuts. */
static bool may_join(const sgp_mixer_options_t *options) {
    return options->algorithm != SGP_ALGORITHM_ADPSGD && options->graph.kind != SGP_GRAPH_RING;
}

static void draw_join(sgp_random_t *random, scenario_t *scenario) {
    int rank = scenario->nodes + scenario->joins_count;
    scenario->joins[scenario->joins_count++] = (scenario_join_t){
        .sponsor = draw_int(random, 0, scenario->nodes - 1),
        .at = draw_int(random, 0, scenario->steps - 20),
        .replaces = chance(random, 0.5),
    };
    scenario->compute_ns[rank] = scenario->compute_ns[0];
}

/* From random numbers of their own: the rest of a scenario is that of its seed without them. The run is longer, since a newcomer
 * comes in after 9 to 25 steps. */
static void draw_joins(const scenario_settings_t *settings, scenario_t *scenario) {
    sgp_random_t random;
    sgp_random_init(&random, scenario->seed, STREAM_JOINS);
    if (!(settings->kinds & SCENARIO_JOIN) || !may_join(&scenario->options)) return;
    if (!chance(&random, 0.4)) return;
    int steps = scenario->steps, count = draw_int(&random, 1, SCENARIO_JOINS);
    scenario->steps += draw_int(&random, 25, SCENARIO_STEPS - STEPS_DRAWN);
    for (int k = steps; k < scenario->steps; k++)
        if (chance(&random, 0.15))
            scenario->calls[k] = (scenario_call_t)draw_int(&random, 0, SCENARIO_CALLS - 1);
    for (int i = 0; i < count; i++) draw_join(&random, scenario);
    scenario->loopback.seats = scenario_seats(scenario);
    if (scenario->faults_count == SCENARIO_FAULTS || !chance(&random, 0.3)) return;
    if (!(settings->kinds & SCENARIO_KILL)) return;
    uint64_t time = (uint64_t)(draw(&random, 0.2, 1.1) * scenario->steps *
                               (scenario->compute_ns[0] + (double)scenario->loopback.delay_max_ns));
    add_fault(scenario, (sgp_loopback_fault_t){SGP_FAULT_KILL, scenario->nodes, 0, time, 0, 0});
    scenario->loopback.fault_count = scenario->faults_count;
}

int scenario_seats(const scenario_t *scenario) {
    return scenario->nodes + scenario->joins_count;
}

bool scenario_is_quiet(const scenario_t *scenario) {
    for (int r = 0; r < scenario->nodes; r++)
        if (scenario->leaves[r] != SCENARIO_NEVER) return false;
    return scenario->faults_count == 0;
}

bool scenario_kills(const scenario_t *scenario, int rank) {
    for (int i = 0; i < scenario->faults_count; i++) {
        const sgp_loopback_fault_t *fault = &scenario->faults[i];
        bool kills = fault->kind == SGP_FAULT_KILL || fault->kind == SGP_FAULT_KILL_AT_CALL;
        if (kills && fault->seat == rank) return true;
    }
    return false;
}

bool scenario_may_strike(const scenario_t *scenario) {
    for (int i = 0; i < scenario->faults_count; i++) {
        const sgp_loopback_fault_t *fault = &scenario->faults[i];
        bool silences = fault->kind != SGP_FAULT_KILL && fault->kind != SGP_FAULT_KILL_AT_CALL;
        if (silences && fault->length_ns > SCENARIO_SUSPECT_MS * (uint64_t)SCENARIO_MS) return true;
    }
    return false;
}

/* A step takes the longest gradient and one message; a call a few messages for each attempt, of which each loss costs one. */
static void set_limit(const scenario_settings_t *settings, scenario_t *scenario) {
    enum { MESSAGES = 12 };
    double delay = (double)scenario->loopback.delay_max_ns, limit = 0;
    int calls = 2 + SCENARIO_VIEWS_MEET, losses = 0;
    for (int k = 0; k < scenario->steps; k++) {
        uint64_t longest = 0;
        for (int r = 0; r < scenario_seats(scenario); r++) {
            uint64_t compute = scenario_compute(scenario, r, k);
            if (compute > longest) longest = compute;
        }
        limit += (double)longest + 2 * delay;
        calls += scenario->calls[k] != SCENARIO_NOTHING;
    }
    for (int r = 0; r < scenario->nodes; r++) losses += scenario->leaves[r] != SCENARIO_NEVER;
    for (int i = 0; i < scenario->faults_count; i++) {
        const sgp_loopback_fault_t *fault = &scenario->faults[i];
        bool ends = fault->kind == SGP_FAULT_KILL || fault->kind == SGP_FAULT_KILL_AT_CALL;
        bool capped = settings->silence_ns && fault->length_ns > settings->silence_ns;
        losses += ends;
        if (!ends) limit += (double)(capped ? settings->silence_ns : fault->length_ns);
    }
    /* One that was struck off may come to its end alone, after the others. */
    int ends = scenario_may_strike(scenario) ? 2 : 1;
    limit += ends * SCENARIO_VIEWS_MEET * SCENARIO_VIEWS_WAIT_MS * (double)SCENARIO_MS;
    limit += (calls + losses + 3 * scenario->joins_count) * MESSAGES * (delay + SCENARIO_MS);
    /* One that is gone, or has not got its z, is waited for in a collective call. */
    limit += scenario->joins_count * 2000.0 * SCENARIO_MS;
    scenario->limit_ns = (uint64_t)limit;
}

void scenario_draw(uint64_t seed, const scenario_settings_t *settings, scenario_t *scenario) {
    sgp_random_t random;
    sgp_random_init(&random, seed, STREAM_SCENARIO);
    memset(scenario, 0, sizeof *scenario);
    scenario->seed = seed;
    scenario->nodes = draw_int(&random, 2, SCENARIO_NODES);
    scenario->trains = chance(&random, 0.3);
    for (int r = 0; r < SCENARIO_SEATS; r++) scenario->leaves[r] = SCENARIO_NEVER;
    draw_mixer(&random, settings, scenario);
    scenario->trains &= may_train(&scenario->options);
    draw_times(&random, scenario);
    draw_calls(&random, scenario);
    draw_faults(&random, settings, scenario);
    scenario->options.passes_over = chance(&random, 0.5);
    draw_joins(settings, scenario);
    set_limit(settings, scenario);
}

uint64_t scenario_compute(const scenario_t *scenario, int rank, int step) {
    sgp_random_t random;
    uint64_t stream = STREAM_COMPUTE + (uint64_t)rank;
    sgp_random_init(&random, scenario->seed * STEPS_DRAWN + (uint64_t)step, stream);
    return (uint64_t)(scenario->compute_ns[rank] * draw(&random, 0.8, 1.2));
}

static float draw_number(const scenario_t *scenario, int rank, size_t i) {
    sgp_random_t random;
    uint64_t stream = STREAM_VECTOR + (uint64_t)rank * SCENARIO_LENGTH + i;
    if (scenario_is_equal(i)) return i % 16 == 3 ? 1.5f : -0.25f;
    sgp_random_init(&random, scenario->seed, stream);
    return (float)sgp_random_normal(&random);
}

float scenario_initial(const scenario_t *scenario, int rank, size_t i) {
    return draw_number(scenario, rank, i);
}

float scenario_target(const scenario_t *scenario, int rank, size_t i) {
    return draw_number(scenario, rank + SCENARIO_NODES, i);
}

/* The most that a node sends in a step over what it keeps: with p equal shares p, in a base graph up to n - 1. */
static double most_sent(const scenario_t *scenario) {
    const sgp_graph_t *graph = &scenario->options.graph;
    double most = sgp_graph_max_degree(graph);
    for (int k = 0; k < scenario->steps; k++)
        for (int r = 0; r < graph->size; r++) {
            sgp_edge_t edges[SCENARIO_SEATS];
            double sent = 0;
            for (int e = sgp_graph_out(graph, r, (uint64_t)k, edges); e-- > 0;)
                sent += edges[e].weight;
            if (sent < 1) most = fmax(most, sent / (1 - sent));
        }
    return most;
}

/* The most that an encoding rounds, as a part of the largest number. */
static float part_rounded(sgp_encoding_t encoding) {
    switch (encoding) {
    case SGP_ENCODING_BFLOAT16:
        return 1.0f / 256;
    case SGP_ENCODING_INT8:
        return 1.0f / 254;
    case SGP_ENCODING_INT4:
        return 1.0f / 14;
    default:
        return 1.0f / 2048;
    }
}

float scenario_rounding(const scenario_t *scenario) {
    const sgp_mixer_options_t *options = &scenario->options;
    if (options->encoding == SGP_ENCODING_FLOAT32) return 1e-5f;
    float part = part_rounded(options->encoding), most = 4; /* |z| */
    /* Of its part and of the mean, and what both had kept before. */
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE) return part * most * 4;
    int late = options->overlap > 0 ? options->overlap : 0;
    int rounds = options->rounds > 1 ? (int)options->rounds : 1;
    return part * most * (float)(most_sent(scenario) * (1 + late) * rounds + 2);
}

/* In steps of several rounds x moves by v (y - z) when a chunk of a sender that was silent is here at last, where z is that of the round
 * in which it was missing: so z can leave the range by about the distance of the two. */
static bool can_lend(const scenario_t *scenario) {
    if (scenario->options.rounds <= 1) return false;
    for (int i = 0; i < scenario->faults_count; i++) {
        sgp_fault_kind_t kind = scenario->faults[i].kind;
        if (kind != SGP_FAULT_KILL && kind != SGP_FAULT_KILL_AT_CALL) return true;
    }
    return false;
}

void scenario_find_hull(const scenario_t *scenario, scenario_hull_t *hull) {
    float more = can_lend(scenario) ? 1 : 0; /* of its width */
    hull->rounding = scenario_rounding(scenario);
    for (size_t i = 0; i < SCENARIO_LENGTH; i++) {
        hull->low[i] = INFINITY, hull->high[i] = -INFINITY;
        for (int r = 0; r < scenario_seats(scenario); r++) {
            float start = scenario_initial(scenario, r < scenario->nodes ? r : 0, i);
            float target = scenario->trains ? scenario_target(scenario, r, i) : start;
            hull->low[i] = fminf(hull->low[i], fminf(start, target));
            hull->high[i] = fmaxf(hull->high[i], fmaxf(start, target));
        }
        float width = hull->high[i] - hull->low[i];
        hull->low[i] -= more * width;
        hull->high[i] += more * width;
    }
}

/* ---- for people ---- */

static void print_fault(const sgp_loopback_fault_t *fault, FILE *file) {
    double from = (double)fault->from_ns / SCENARIO_MS;
    double length = (double)fault->length_ns / SCENARIO_MS;
    switch (fault->kind) {
    case SGP_FAULT_KILL:
        fprintf(file, "  node %d is killed at %.3f ms\n", fault->seat, from);
        break;
    case SGP_FAULT_KILL_AT_CALL:
        fprintf(file, "  node %d is killed at its call %" PRIu64 "\n", fault->seat, fault->call);
        break;
    case SGP_FAULT_STALL:
        fprintf(file, "  node %d stands still at %.3f ms for %.3f ms\n", fault->seat, from, length);
        break;
    default:
        fprintf(file, "  the link from node %d to node %d%s is cut at %.3f ms for %.3f ms\n",
                fault->seat, fault->other, fault->kind == SGP_FAULT_CUT_BOTH ? " and back" : "",
                from, length);
    }
}

void scenario_print(const scenario_t *scenario, FILE *file) {
    static const char *const calls[] = {"", "average", "barrier", "gather"};
    const sgp_mixer_options_t *options = &scenario->options;
    fprintf(file, "seed %" PRIu64 ": %d nodes, %s", scenario->seed, scenario->nodes,
            sgp_algorithm_name(options->algorithm));
    if (options->overlap == SGP_OVERLAP_ASYNC) fprintf(file, " async");
    else if (options->overlap) fprintf(file, ", overlap %d", options->overlap);
    fprintf(file, ", %s with %d peer(s), %s", sgp_graph_name(options->graph.kind),
            options->graph.peers, sgp_encoding_name(options->encoding));
    if (options->local_steps) fprintf(file, ", exchange in every %d steps", options->local_steps);
    if (options->rounds > 1) fprintf(file, ", %d rounds", (int)options->rounds);
    fprintf(
        file,
        "\n%d steps, learning rate %s; gradients of %.3f to %.3f ms, messages of %.3f to %.3f ms\n",
        scenario->steps, scenario->trains ? "> 0" : "0", scenario->compute_ns[0] / SCENARIO_MS,
        scenario->compute_ns[scenario->nodes - 1] / SCENARIO_MS,
        (double)scenario->loopback.delay_min_ns / SCENARIO_MS,
        (double)scenario->loopback.delay_max_ns / SCENARIO_MS);
    for (int k = 0; k < scenario->steps; k++)
        if (scenario->calls[k]) fprintf(file, "  %s after step %d\n", calls[scenario->calls[k]], k);
    for (int i = 0; i < scenario->faults_count; i++) print_fault(&scenario->faults[i], file);
    for (int r = 0; r < scenario->nodes; r++)
        if (scenario->leaves[r] != SCENARIO_NEVER)
            fprintf(file, "  node %d leaves after step %d\n", r, scenario->leaves[r]);
    for (int j = 0; j < scenario->joins_count; j++)
        fprintf(file, "  node %d invites a newcomer before step %d%s\n", scenario->joins[j].sponsor,
                scenario->joins[j].at,
                scenario->joins[j].replaces ? ", in the place of one that is gone" : "");
    fprintf(file, "  all end within %.3f ms\n", (double)scenario->limit_ns / SCENARIO_MS);
}
