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
    int all;
    const char *svg;
    int json;
    int help;
} graph_settings_t;

#define AT(member) offsetof(graph_settings_t, member)

/* The kinds of graphs in the library, separated by ", ". */
static const char *graph_names(void) {
    static char list[256];
    list[0] = '\0';
    for (int number = 0;; number++) {
        const char *name = sgp_graph_name((sgp_graph_kind_t)number);
        sgp_graph_kind_t kind;
        if (sgp_graph_parse(name, &kind) != SGP_OK) return list;
        size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%s", number ? ", " : "", name);
    }
}

static const option_t options[] = {
    {.name = "graph",
     .argument = "NAME",
     .type = OPTION_CHOICE,
     .offset = AT(graph),
     .list = graph_names,
     .help = "the graph of senders and receivers"},
    {.name = "nodes",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(nodes),
     .min = 1,
     .max = SGP_ANALYSIS_NODES,
     .help = "nodes"},
    {.name = "peers",
     .argument = "N",
     .type = OPTION_INT,
     .offset = AT(peers),
     .min = 1,
     .max = SGP_ANALYSIS_NODES,
     .help = "receivers of each node in a step"},
    {.name = "seed",
     .argument = "N",
     .type = OPTION_SEED,
     .offset = AT(seed),
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
     .value = 1,
     .help = "list all nodes, not the first 16, and all receivers"},
    {.name = "svg",
     .argument = "FILE",
     .type = OPTION_STRING,
     .offset = AT(svg),
     .shown = "",
     .wanted = "the name of a file",
     .help = "draw the graph, up to 64 nodes, as SVG"},
    {.name = "json",
     .type = OPTION_FLAG,
     .offset = AT(json),
     .value = 1,
     .help = "print one JSON object instead, with all edges"},
    {.name = "help",
     .type = OPTION_FLAG,
     .offset = AT(help),
     .value = 1,
     .help = "print this text and end"},
};

static const option_table_t table = {
    .command = "graph",
    .any_bytes = true,
    .synopsis = "sgp graph [OPTIONS]",
    .about = "Prints who sends to whom in each step, and how well the graph averages.",
    .options = options,
    .count = sizeof options / sizeof options[0],
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
    graph_settings_t settings = {.graph = "exponential", .nodes = 8, .peers = 1, .seed = 1};
    int first;
    if (!options_parse(&table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&table, &settings);
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
