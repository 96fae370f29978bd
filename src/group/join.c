/* SPDX-License-Identifier: Apache-2.0 */
/* Joining by the launcher's environment or by given rank and size; splitting what was joined. */
#include "base/log.h"
#include "group/group.h"
#include "group/join_mpi.h"
#include "transport/mpi/mpi.h"
#include "transport/shm/shm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 30000 /* for joining */

/* The whole number in an environment variable. */
static sgp_status_t read_number(const char *name, int *value) {
    const char *text = getenv(name);
    if (!text) return sgp_fail(SGP_ERR_INVALID, "%s is not set, and SGP_SIZE is", name);
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < 0 || number > 1 << 20)
        return sgp_fail(SGP_ERR_INVALID, "%s is \"%s\", must be a whole number", name, text);
    *value = (int)number;
    return SGP_OK;
}

static sgp_status_t read_environment(sgp_shm_options_t *place) {
    if (!getenv("SGP_SIZE") && !getenv("SGP_RANK")) {
        place->rank = 0;
        place->size = 1;
        return SGP_OK;
    }
    sgp_status_t status = read_number("SGP_SIZE", &place->size);
    if (status == SGP_OK) status = read_number("SGP_RANK", &place->rank);
    return status;
}

static sgp_status_t remember(sgp_group_t *group, const sgp_shm_options_t *place, int timeout_ms) {
    sgp_group_origin_t *origin = sgp_group_origin(group);
    origin->joined = true;
    origin->join_timeout_ms = place->timeout_ms;
    origin->timeout_ms = timeout_ms;
    if (place->rendezvous) origin->rendezvous = strdup(place->rendezvous);
    return place->rendezvous && !origin->rendezvous ? SGP_ERR_NO_MEMORY : SGP_OK;
}

static sgp_status_t make_group(sgp_transport_t *transport, const sgp_shm_options_t *place,
                               int timeout_ms, sgp_group_t **group) {
    sgp_status_t status;
    sgp_group_t *made;
    status = sgp_group_create(transport, timeout_ms, &made);
    if (status != SGP_OK) return sgp_transport_destroy(transport), status;
    status = remember(made, place, timeout_ms);
    if (status != SGP_OK) return sgp_group_leave(made), status;
    *group = made;
    return SGP_OK;
}

static sgp_status_t connect_group(const sgp_shm_options_t *place, int timeout_ms,
                                  sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_status_t status = sgp_shm_connect(place, &transport);
    return status == SGP_OK ? make_group(transport, place, timeout_ms, group) : status;
}

static sgp_status_t join_mpi(const sgp_shm_options_t *place, int timeout_ms, sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_status_t status = sgp_join_mpi(place->rank, place->size, &transport);
    if (status == SGP_OK) status = make_group(transport, place, timeout_ms, group);
    if (status == SGP_OK) sgp_log_set_rank(sgp_group_rank(*group));
    return status;
}

sgp_status_t sgp_group_join(const sgp_group_options_t *options, sgp_group_t **group) {
    if (options->timeout_ms < 0 || options->join_timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "group: time limits of %d and %d ms, must be above 0",
                        options->join_timeout_ms, options->timeout_ms);
    sgp_shm_options_t place = {
        .rank = options->rank, .size = options->size, .rendezvous = options->rendezvous};
    place.timeout_ms = options->join_timeout_ms ? options->join_timeout_ms : DEFAULT_TIMEOUT_MS;
    if (!place.rendezvous) place.rendezvous = getenv("SGP_RENDEZVOUS");
    bool alone = !options->size && !getenv("SGP_SIZE"); /* or MPI's launcher knows better */
    if (alone && sgp_join_mpi_wanted()) return join_mpi(&place, options->timeout_ms, group);
    sgp_status_t status = options->size ? SGP_OK : read_environment(&place);
    if (status == SGP_OK && sgp_join_mpi_wanted())
        return join_mpi(&place, options->timeout_ms, group);
    if (status == SGP_OK) status = connect_group(&place, options->timeout_ms, group);
    if (status == SGP_OK) sgp_log_set_rank(place.rank);
    return status;
}

/* ---- splitting ---- */

static sgp_status_t check_split(sgp_group_t *group, int workers) {
    int size = sgp_group_size(group);
    if (workers < 1 || size % workers)
        return sgp_fail(SGP_ERR_INVALID,
                        "a group of %d processes is not a whole number of nodes of %d workers",
                        size, workers);
    if (!sgp_group_origin(group)->joined)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "group: only what was joined can be split");
    return SGP_OK;
}

/* The part's ranks meet in a directory of their own, which the last of them removes. */
static sgp_status_t join_part(sgp_group_t *whole, const char *name, int number,
                              const sgp_shm_options_t *as, sgp_group_t **part) {
    const sgp_group_origin_t *origin = sgp_group_origin(whole);
    char path[PATH_MAX] = "";
    sgp_shm_options_t place = *as;
    if (sgp_mpi_is(sgp_group_transport(whole))) {
        sgp_transport_t *transport = NULL;
        sgp_status_t status =
            sgp_join_mpi_part(sgp_group_transport(whole), number, as->rank, &transport);
        return status == SGP_OK ? make_group(transport, as, origin->timeout_ms, part) : status;
    }
    if (place.size > 1) {
        int length = snprintf(path, sizeof path, "%s/%s-%d-%d", origin->rendezvous, name,
                              origin->splits, number);
        if (length >= PATH_MAX || (mkdir(path, 0700) != 0 && errno != EEXIST))
            return sgp_fail(SGP_ERR_SYSTEM, "cannot make %s-%d in %s: %s", name, number,
                            origin->rendezvous,
                            strerror(length >= PATH_MAX ? ENAMETOOLONG : errno));
        place.rendezvous = path;
    }
    place.timeout_ms = origin->join_timeout_ms;
    sgp_status_t status = connect_group(&place, origin->timeout_ms, part);
    if (*path) rmdir(path); /* fails while another one is meeting there */
    return status;
}

/* What they are called in log lines. */
static void name_ranks(sgp_group_t *group, int first, int stride, int workers) {
    sgp_group_transport(group)->ranks =
        (sgp_ranks_t){.first = first, .stride = stride, .workers = workers};
}

sgp_status_t sgp_group_split(sgp_group_t *group, int workers_per_node, sgp_group_t **nodes,
                             sgp_group_t **workers) {
    sgp_status_t status = check_split(group, workers_per_node);
    if (status != SGP_OK) return status;
    int rank = sgp_group_rank(group), size = sgp_group_size(group);
    int node = rank / workers_per_node, worker = rank % workers_per_node;
    sgp_shm_options_t inside = {.rank = worker, .size = workers_per_node};
    sgp_shm_options_t across = {.rank = node, .size = size / workers_per_node};
    sgp_group_t *inner, *outer;
    name_ranks(group, 0, 1, workers_per_node);
    status = join_part(group, "workers", node, &inside, &inner);
    if (status != SGP_OK) return status;
    name_ranks(inner, rank - worker, 1, workers_per_node);
    status = join_part(group, "nodes", worker, &across, &outer);
    if (status != SGP_OK) {
        sgp_group_leave(inner);
        return status;
    }
    name_ranks(outer, worker, workers_per_node, workers_per_node);
    sgp_group_origin(group)->splits++;
    *nodes = outer;
    *workers = inner;
    return SGP_OK;
}
