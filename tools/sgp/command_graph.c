/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp graph`: who sends to whom in each step, and how well it averages. */
#include "command.h"
#include "graph/graph_view.h"
#include "cli/message.h"
#include "cli/options.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct graph_settings {
    const char *graph;
    int nodes;
    int peers;
    uint64_t seed;
    int steps;
    bool all;
    const char *svg;
    bool json;
    bool help;
} graph_settings_t;

#define AT(member) offsetof(graph_settings_t, member)

static const option_t options[] = {
    {.name = "graph",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(graph),
     .initial = "exponential",
     .list = sgp_graph_names,
     .help = "the graph of senders and receivers",
     .more =
         "*exponential*: to the node 1, 2, 4, ... further in turn; with p peers the powers of "
         "p+1 and their multiples. *ring*: to the next node, with two peers to both "
         "neighbours. *complete*: to all. *static-exponential*: to the nodes 1, 2, 4, ... "
         "further, all in every step. *bipartite-exponential*: pairs of even and odd nodes, "
         "1, 3, 5, 9, ... apart. *random*: all nodes draw the same derangement in each step, "
         "so that each node has as many senders as receivers. *base*: the Base-(k+1) graph, k "
         "being the peers, which is exact for every number of nodes. *random-uneven*: each "
         "node draws its own receivers, so that push-sum weights move; it is not for training."},
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(nodes),
     .initial = "8",
     .min = 1,
     .max = SGP_ANALYSIS_NODES,
     .help = "nodes, at most 1024"},
    {.name = "peers",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(peers),
     .initial = "1",
     .min = 1,
     .max = SGP_ANALYSIS_NODES,
     .help = "receivers of each node in a step",
     .more = "Ignored by complete and static-exponential."},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .offset = AT(seed),
     .initial = "1",
     .wanted = "a whole number of at most 64 bits",
     .help = "seed of a random graph"},
    {.name = "steps",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(steps),
     .min = 1,
     .max = GRAPH_STEPS_LIMIT,
     .shown = "those after which the graph repeats",
     .help = "steps to show and analyze"},
    {.name = "all",
     .type = OPTION_FLAG,
     .offset = AT(all),
     .help = "list all nodes, not the first 16, and all receivers"},
    {.name = "svg",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(svg),
     .shown = "",
     .wanted = "the name of a file",
     .help = "draw the graph, up to 64 nodes, as SVG",
     .more = "One panel for each step."},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .help = "print one JSON object instead, with all edges",
     .more = "For each step it has a list of sender, receiver and share of the sender's mass."},
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t graph_table = {
    .command = "graph",
    .any_bytes = true,
    .synopsis = "sgp graph [OPTIONS]",
    .about = "Prints who sends to whom in each step, and how well the graph averages.",
    .parts = {{.rows = options}},
};

static int show(const graph_settings_t *settings, graph_view_t *view) {
    sgp_status_t analyzed = sgp_graph_analyze(&view->graph, settings->steps, &view->analysis);
    if (analyzed != SGP_OK) return exit_status_of(analyzed);
    int status = settings->svg ? graph_svg(view, settings->svg) : 0;
    if (status) return status;
    if (settings->json) return graph_json(view);
    graph_text(view);
    return 0;
}

int command_graph(int argc, char **argv) {
    graph_settings_t settings = {0};
    int first;
    options_init(&graph_table, &settings);
    if (!options_parse(&graph_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&graph_table);
        return 0;
    }
    message_log_library(NULL);
    graph_view_t view = {
        .graph = {.size = settings.nodes, .peers = settings.peers, .seed = settings.seed},
        .all = settings.all};
    sgp_graph_parse(settings.graph, &view.graph.kind);
    if (sgp_graph_check(&view.graph) != SGP_OK) return EXIT_MISTAKE;
    if (settings.svg && !graph_svg_check(&view, settings.steps)) return EXIT_MISTAKE;
    view.edges = calloc((size_t)sgp_graph_max_degree(&view.graph) + 1, sizeof *view.edges);
    if (!view.edges) {
        message_error("graph: out of memory for %d nodes", settings.nodes);
        return EXIT_FAILED;
    }
    int status = show(&settings, &view);
    free(view.edges);
    return status;
}
