/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the processes of a group, or of some of them, joined in the same way, each with connections of its own. */
#include "base/logging.h"
#include "group/join/connect.h"
#include "group/join/elastic_limits.h"
#include "group/agree_call.h"
#include "group/group_internal.h"
#include "group/group_status.h"
#include "group/join/join_mpi.h"
#include "group/join/origin.h"
#include "transport/mpi/mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The processes of one new group: every `stride`-th of the whole from `first` on. */
typedef struct part {
    int first, stride, size;
    int rank; /* ours in it */
} part_t;

static sgp_status_t nothing(void *argument) {
    (void)argument;
    return SGP_OK;
}

/* SGP_ERR_INVALID: a call of the group is in the middle. */
static sgp_status_t check_idle(sgp_group_t *group, const char *name) {
    return sgp_group_run(group, name, nothing, &group, sizeof group);
}

static sgp_status_t check_split(sgp_group_t *group, int workers) {
    int size = sgp_group_size(group);
    if (workers < 1 || size % workers)
        return sgp_fail(SGP_ERR_INVALID,
                        "a group of %d processes is not a whole number of nodes of %d workers",
                        size, workers);
    if (!sgp_group_origin(group) || sgp_group_origin(group)->is_part)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "group: only a group made by sgp_group_join can be split");
    return SGP_OK;
}

/* A listener for the part, at the host where the whole group reaches us. */
static sgp_status_t listen_again(const sgp_origin_t *origin, int *listener,
                                 sgp_endpoint_t *endpoint) {
    sgp_address_t bound, advertised, whole;
    if (origin->transport == SGP_CHOICE_SHM || !origin->address[0]) return SGP_OK;
    sgp_status_t status =
        sgp_address_listen(origin->interface, origin->ports, listener, &bound, &advertised);
    if (status == SGP_OK) status = sgp_address_parse(origin->address, &whole);
    if (status != SGP_OK) return status;
    sgp_address_set_port(&whole, sgp_address_port(&bound));
    sgp_address_text(origin->interface ? &advertised : &whole, endpoint->address);
    return SGP_OK;
}

static sgp_status_t make_endpoint(const sgp_origin_t *origin, const part_t *part, int *listener,
                                  sgp_endpoint_t *endpoint) {
    sgp_status_t status = sgp_endpoint_init(endpoint, false);
    endpoint->rank = part->rank;
    endpoint->size = part->size;
    endpoint->transport = origin->transport;
    return status == SGP_OK ? listen_again(origin, listener, endpoint) : status;
}

/* Slices and interrupts do not end it: an interrupt is for the next call. */
static sgp_status_t gather_whole(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    sgp_status_t status;
    bool interrupted = false;
    do {
        status = sgp_group_gather(group, mine, bytes, all);
        interrupted |= status == SGP_ERR_INTERRUPTED;
    } while (status == SGP_ERR_AGAIN || status == SGP_ERR_INTERRUPTED);
    if (interrupted) sgp_group_interrupt(group);
    return status;
}

/* Through the whole group, of which all processes call. *all: (size of the group) in its order; the
 * caller frees it. */
static sgp_status_t exchange_endpoints(sgp_group_t *group, const sgp_endpoint_t *mine,
                                       sgp_endpoint_t **all) {
    int size = sgp_group_size(group);
    unsigned char own[SGP_ENDPOINT_BYTES];
    size_t seats = (size_t)sgp_group_transport(group)->capacity;
    unsigned char(*gathered)[SGP_ENDPOINT_BYTES] = malloc(seats * sizeof *gathered);
    sgp_endpoint_t *endpoints = calloc((size_t)size, sizeof *endpoints);
    sgp_endpoint_encode(mine, own);
    sgp_status_t status = gathered && endpoints
                              ? gather_whole(group, own, sizeof own, gathered)
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", size);
    for (int r = 0; r < size && status == SGP_OK; r++)
        status = sgp_endpoint_decode(gathered[r], &endpoints[r]);
    free(gathered);
    if (status == SGP_OK) *all = endpoints;
    else free(endpoints);
    return status;
}

/* All processes of the whole exchange endpoints, and each part keeps those of its members. */
static sgp_status_t connect_part(sgp_group_t *whole, const part_t *part,
                                 sgp_transport_t **transport) {
    const sgp_origin_t *origin = sgp_group_origin(whole);
    sgp_endpoint_t mine, *all = NULL;
    int listener = -1;
    sgp_status_t status = make_endpoint(origin, part, &listener, &mine);
    if (status == SGP_OK) status = exchange_endpoints(whole, &mine, &all);
    if (status != SGP_OK) {
        if (listener >= 0) close(listener);
        return status;
    }
    for (int r = 0; r < part->size; r++) all[r] = all[part->first + r * part->stride];
    sgp_connect_options_t connection = {.endpoints = all,
                                        .rank = part->rank,
                                        .size = part->size,
                                        .listener = listener,
                                        .key = origin->keyed ? &origin->key : NULL,
                                        .insecure = origin->insecure,
                                        .encryption = origin->encryption,
                                        .rendezvous = origin->rendezvous,
                                        .timeout_ms = origin->join_timeout_ms,
                                        .peer_timeout_ms = origin->peer_timeout_ms,
                                        .patience = origin->patience};
    status = sgp_connect(&connection, transport);
    free(all);
    return status;
}

static sgp_status_t connect_group(sgp_group_t *whole, const part_t *part, sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_transport_t *all = sgp_group_transport(whole);
    sgp_status_t status = sgp_mpi_is(all)
                              ? sgp_join_mpi_part(all, part->first, part->rank, &transport)
                              : connect_part(whole, part, &transport);
    if (status != SGP_OK) return status;
    transport->elastic = sgp_group_origin(whole)->elastic;
    status = sgp_group_found(transport, sgp_group_origin(whole)->timeout_ms, group);
    if (status != SGP_OK) sgp_transport_destroy(transport);
    return status;
}

static sgp_status_t join_part(sgp_group_t *whole, const part_t *part, sgp_group_t **group) {
    sgp_origin_t *origin;
    sgp_status_t status = sgp_origin_copy(sgp_group_origin(whole), &origin);
    if (status != SGP_OK) return status;
    origin->is_part |= part->size < sgp_group_size(whole);
    status = connect_group(whole, part, group);
    if (status == SGP_OK) sgp_group_set_origin(*group, origin);
    if (status == SGP_OK) sgp_elastic_limits_set(origin, *group);
    else sgp_origin_destroy(origin);
    return status;
}

/* For log lines. */
static void name_ranks(sgp_group_t *group, int first, int stride, int workers) {
    sgp_group_transport(group)->ranks =
        (sgp_ranks_t){.first = first, .stride = stride, .workers = workers};
}

static sgp_status_t split(sgp_group_t *group, int workers_per_node, sgp_group_t **nodes,
                          sgp_group_t **workers) {
    sgp_status_t status = check_split(group, workers_per_node);
    if (status == SGP_OK) status = check_idle(group, "sgp_group_split");
    if (status != SGP_OK) return status;
    int rank = sgp_group_rank(group), size = sgp_group_size(group);
    int node = rank / workers_per_node, worker = rank % workers_per_node;
    part_t inside = {.first = rank - worker, .stride = 1, .size = workers_per_node, .rank = worker};
    part_t across = {
        .first = worker, .stride = workers_per_node, .size = size / workers_per_node, .rank = node};
    sgp_group_t *inner, *outer;
    name_ranks(group, 0, 1, workers_per_node);
    status = join_part(group, &inside, &inner);
    if (status != SGP_OK) return status;
    name_ranks(inner, rank - worker, 1, workers_per_node);
    status = join_part(group, &across, &outer);
    if (status != SGP_OK) {
        sgp_group_leave(inner);
        return status;
    }
    name_ranks(outer, worker, workers_per_node, workers_per_node);
    status = sgp_group_status_attach(outer, false);
    if (status == SGP_OK) status = sgp_group_status_hand_over(group, outer);
    if (status != SGP_OK) {
        sgp_group_leave(inner);
        sgp_group_leave(outer);
        return status;
    }
    sgp_group_share_call(inner, group);
    sgp_group_share_call(outer, group);
    sgp_group_tell_losses(inner, sgp_group_loss_file(group));
    sgp_group_tell_losses(outer, sgp_group_loss_file(group));
    *nodes = outer;
    *workers = inner;
    return SGP_OK;
}

sgp_status_t sgp_group_split(sgp_group_t *group, int workers_per_node, sgp_group_t **nodes,
                             sgp_group_t **workers) {
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    return sgp_api_end(before, split(group, workers_per_node, nodes, workers));
}

/* ---- a group of the same processes ---- */

/* The sink is there before the group: threads that joining starts take it over. *sink: NULL where the group has none. */
static sgp_status_t copy_sink(const sgp_group_t *group, sgp_log_sink_t **sink) {
    const sgp_log_sink_t *whole = sgp_group_sink(group);
    *sink = NULL;
    if (!whole) return SGP_OK;
    *sink = malloc(sizeof **sink);
    if (!*sink) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group's log");
    **sink = *whole;
    return SGP_OK;
}

static sgp_status_t duplicate(sgp_group_t *group, sgp_group_t **copy) {
    part_t same = {.stride = 1, .size = sgp_group_size(group), .rank = sgp_group_rank(group)};
    sgp_log_sink_t *sink;
    sgp_group_t *made;
    if (!sgp_group_origin(group))
        return sgp_fail(SGP_ERR_UNSUPPORTED, "group: only a group made by sgp_group_join, and the "
                                             "groups made from it, can be duplicated");
    sgp_status_t status = check_idle(group, "sgp_group_duplicate");
    if (status == SGP_OK) status = copy_sink(group, &sink);
    if (status != SGP_OK) return status;
    const sgp_log_sink_t *before = sgp_log_use(sink);
    status = join_part(group, &same, &made);
    sgp_log_use(before);
    if (status != SGP_OK) {
        free(sink);
        return status;
    }
    sgp_group_set_sink(made, sink);
    const sgp_ranks_t *ranks = &sgp_group_transport(group)->ranks;
    if (ranks->workers > 1) name_ranks(made, ranks->first, ranks->stride, ranks->workers);
    sgp_group_tell_losses(made, sgp_group_loss_file(group));
    *copy = made;
    return SGP_OK;
}

sgp_status_t sgp_group_duplicate(sgp_group_t *group, sgp_group_t **copy) {
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    return sgp_api_end(before, duplicate(group, copy));
}
