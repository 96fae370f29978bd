/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_view.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "cli/output.h"

#include "files/json.h"

#include <jansson.h>

/* [[src, dst, weight], ...] */
static json_t *edges_of_step(const graph_view_t *view, int step) {
    json_t *list = json_array();
    for (int rank = 0; rank < view->graph.size; rank++) {
        int count = graph_view_edges(view, rank, step);
        for (int e = 0; e < count; e++)
            json_array_append_new(
                list, json_pack("[i, i, f]", rank, view->edges[e].peer, view->edges[e].weight));
    }
    return list;
}

static json_t *object_of(const graph_view_t *view) {
    const sgp_graph_t *graph = &view->graph;
    const sgp_graph_analysis_t *found = &view->analysis;
    bool random = sgp_graph_is_random(graph);
    json_t *edges = json_array();
    for (int step = 0; step < found->steps; step++)
        json_array_append_new(edges, edges_of_step(view, step));
    return json_pack(
        "{s:s, s:i, s:i, s:o, s:o, s:b, s:i, s:f, s:o, s:f, s:f, s:f, s:o, s:o}", "graph",
        sgp_graph_name(graph->kind), "nodes", graph->size, "peers", graph->peers, "seed",
        random ? files_json_u64(graph->seed) : json_null(), "period",
        random ? json_null() : json_integer(sgp_graph_period(graph)), "symmetric",
        sgp_graph_symmetric(graph), "steps", found->steps, "messages_per_step", found->edges,
        "exact_steps", found->exact < 0 ? json_null() : json_integer(found->exact), "contraction",
        found->contraction, "contraction_per_step", found->per_step, "deviation", found->deviation,
        "noise_variance", files_json_number(found->variance), "edges", edges);
}

int graph_json(const graph_view_t *view) {
    files_json_begin();
    json_t *object = object_of(view);
    bool printed = output_json(object, FILES_JSON_FLAGS);
    json_decref(object);
    if (!printed) message_error("graph: the JSON object could not be written");
    return printed ? 0 : EXIT_FAILED;
}
