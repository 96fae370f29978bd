/* SPDX-License-Identifier: Apache-2.0 */
/* Joining: where this process belongs, everybody's endpoints, and a transport for them. */
#include "base/logging.h"
#include "group/join/connect.h"
#include "group/group_internal.h"
#include "group/join/join_mpi.h"
#include "group/join/placement.h"
#include "group/join/secret.h"
#include "transport/shm/shm.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 30000  /* for processes that a launcher starts */
#define BY_HAND_TIMEOUT_MS 300000 /* for those that people start */

/* Options and environment together. Strings are borrowed. */
typedef struct plan {
    sgp_placement_t place;
    sgp_transport_choice_t transport;
    const char *interface, *ports;
    bool keyed, insecure;
    sgp_key_t key;
    int join_timeout_ms, timeout_ms, peer_timeout_ms;
    sgp_deadline_t deadline;
} plan_t;

/* ---- the plan ---- */

static const char *either(const char *given, const char *name) {
    const char *text = given ? given : getenv(name);
    return text && *text ? text : NULL;
}

static sgp_status_t read_time(int given, const char *name, int usual, int *value) {
    const char *text = given ? NULL : either(NULL, name);
    char *end;
    *value = given ? given : usual;
    if (!text) return SGP_OK;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || number < 1 || number > INT_MAX)
        return sgp_fail(SGP_ERR_INVALID, "%s is \"%s\", must be milliseconds above 0", name, text);
    *value = (int)number;
    return SGP_OK;
}

static sgp_status_t read_choice(const char *name, sgp_transport_choice_t *choice) {
    for (int i = 0; i <= SGP_CHOICE_LAST; i++) {
        *choice = (sgp_transport_choice_t)i;
        if (!name || strcmp(name, sgp_transport_choice_name(*choice)) == 0) return SGP_OK;
    }
    return sgp_fail(SGP_ERR_INVALID, "transport %s: must be auto, shm, tcp or mpi", name);
}

static sgp_status_t check_options(const sgp_group_options_t *options) {
    if (options->timeout_ms < 0 || options->join_timeout_ms < 0 || options->peer_timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "group: time limits of %d, %d and %d ms, must be above 0",
                        options->join_timeout_ms, options->timeout_ms, options->peer_timeout_ms);
    if (options->join && options->rendezvous)
        return sgp_fail(SGP_ERR_INVALID,
                        "group: join and rendezvous are two ways to meet, and one is enough");
    return SGP_OK;
}

static sgp_status_t make_plan(const sgp_group_options_t *options, plan_t *plan) {
    const char *insecure = either(NULL, "SGP_INSECURE");
    *plan = (plan_t){.interface = either(options->interface, "SGP_INTERFACE"),
                     .ports = either(options->ports, "SGP_PORTS"),
                     .insecure = options->insecure || (insecure && strcmp(insecure, "0") != 0),
                     .timeout_ms = options->timeout_ms};
    sgp_status_t status = sgp_placement_find(options, &plan->place);
    int usual = plan->place.source == SGP_SOURCE_JOIN ? BY_HAND_TIMEOUT_MS : DEFAULT_TIMEOUT_MS;
    if (status == SGP_OK)
        status = read_choice(either(options->transport, "SGP_TRANSPORT"), &plan->transport);
    if (status == SGP_OK)
        status = read_time(options->join_timeout_ms, "SGP_JOIN_TIMEOUT_MS", usual,
                           &plan->join_timeout_ms);
    if (status == SGP_OK)
        status =
            read_time(options->peer_timeout_ms, "SGP_PEER_TIMEOUT_MS", 0, &plan->peer_timeout_ms);
    if (status == SGP_OK) status = sgp_secret_find(options, &plan->keyed, &plan->key);
    plan->deadline = sgp_deadline_in(plan->join_timeout_ms);
    return status;
}

/* Sockets and memory of one machine do not work through a file system that machines share. */
static bool is_shared(const char *directory) {
    static const long shared[] = {NFS_SUPER_MAGIC,
                                  SMB_SUPER_MAGIC,
                                  0xff534d42l /* CIFS */,
                                  0xfe534d42l /* SMB 2 */,
                                  FUSE_SUPER_MAGIC,
                                  0x0bd00bd0l /* Lustre */,
                                  0x47504653l /* GPFS */,
                                  0x19830326l /* BeeGFS */,
                                  CEPH_SUPER_MAGIC,
                                  AFS_SUPER_MAGIC,
                                  V9FS_MAGIC};
    struct statfs about;
    if (statfs(directory, &about) != 0) return false;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if ((unsigned long)about.f_type == (unsigned long)shared[i]) return true;
    return false;
}

/* Processes of one machine that meet in a directory need no endpoints. */
static bool is_plain(const plan_t *plan) {
    const sgp_placement_t *place = &plan->place;
    if (place->source == SGP_SOURCE_NONE) return true;
    if (place->source != SGP_SOURCE_DIRECTORY) return false;
    if (place->size <= 1 || plan->transport == SGP_CHOICE_SHM || !place->rendezvous) return true;
    return plan->transport == SGP_CHOICE_AUTO && !is_shared(place->rendezvous);
}

/* ---- joining ---- */

static bool copy(const char *text, char **place) {
    *place = text ? strdup(text) : NULL;
    return *place || !text;
}

static sgp_status_t make_group(const plan_t *plan, const sgp_endpoint_t *mine,
                               sgp_transport_t *transport, sgp_group_t **group) {
    sgp_group_t *made;
    sgp_status_t status = sgp_group_create(transport, plan->timeout_ms, &made);
    if (status != SGP_OK) return sgp_transport_destroy(transport), status;
    sgp_group_origin_t *origin = sgp_group_origin(made);
    origin->joined = true;
    origin->shm = !mine || plan->transport == SGP_CHOICE_SHM;
    origin->tcp = mine && plan->transport == SGP_CHOICE_TCP;
    origin->keyed = plan->keyed;
    origin->key = plan->key;
    origin->insecure = plan->insecure;
    origin->join_timeout_ms = plan->join_timeout_ms;
    origin->timeout_ms = plan->timeout_ms;
    origin->peer_timeout_ms = plan->peer_timeout_ms;
    if (mine) memcpy(origin->address, mine->address, sizeof origin->address);
    if (!copy(mine ? NULL : plan->place.rendezvous, &origin->rendezvous) ||
        !copy(plan->interface, &origin->interface) || !copy(plan->ports, &origin->ports)) {
        sgp_group_leave(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group");
    }
    if (plan->place.source == SGP_SOURCE_DIRECTORY) /* ranks are those of the launcher */
        sgp_group_tell_losses(made, either(NULL, "SGP_LOSSES"));
    *group = made;
    return SGP_OK;
}

static sgp_status_t join_plain(const plan_t *plan, sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_shm_options_t options = {.rank = plan->place.rank,
                                 .size = plan->place.size,
                                 .rendezvous = plan->place.rendezvous,
                                 .timeout_ms = plan->join_timeout_ms,
                                 .peer_timeout_ms = plan->peer_timeout_ms};
    sgp_status_t status = sgp_shm_connect(&options, &transport);
    return status == SGP_OK ? make_group(plan, NULL, transport, group) : status;
}

/* Endpoints that travel through others' hands come without secrets. */
static bool is_private(sgp_source_t source) {
    return source == SGP_SOURCE_DIRECTORY || source == SGP_SOURCE_PMIX || source == SGP_SOURCE_PMI;
}

static sgp_status_t meet(const plan_t *plan, sgp_endpoint_t *mine, int *listener,
                         sgp_endpoint_t **all) {
    const sgp_placement_t *place = &plan->place;
    sgp_join_options_t meeting = {.at = place->at,
                                  .ports = place->ports,
                                  .founder = place->founder,
                                  .key = plan->keyed ? &plan->key : NULL,
                                  .insecure = plan->insecure,
                                  .interface = plan->interface,
                                  .listen_ports = plan->ports};
    return sgp_exchange_join(&meeting, mine, &plan->deadline, listener, all);
}

static sgp_status_t listen_first(const plan_t *plan, sgp_endpoint_t *mine, int *listener) {
    sgp_address_t bound, published;
    if (plan->transport == SGP_CHOICE_SHM) return SGP_OK;
    sgp_status_t status =
        sgp_address_listen(plan->interface, plan->ports, listener, &bound, &published);
    if (status == SGP_OK) sgp_address_text(&published, mine->address);
    return status;
}

static sgp_status_t exchange(const plan_t *plan, sgp_endpoint_t *mine, int *listener,
                             sgp_endpoint_t **all) {
    sgp_source_t source = plan->place.source;
    if (!is_private(source)) return meet(plan, mine, listener, all);
    sgp_status_t status = listen_first(plan, mine, listener);
    if (status != SGP_OK) return status;
    if (source == SGP_SOURCE_PMIX) return sgp_exchange_pmix(mine, &plan->deadline, all);
    if (source == SGP_SOURCE_PMI) return sgp_exchange_pmi(mine, &plan->deadline, all);
    return sgp_exchange_directory(plan->place.rendezvous, mine, &plan->deadline, all);
}

/* The time that is left, at least a little: all have come, and only meet again. */
static int time_to_meet(const plan_t *plan) {
    enum { LEAST_MS = 10000 };
    int left = sgp_deadline_left_ms(&plan->deadline);
    return left > LEAST_MS ? left : LEAST_MS;
}

static sgp_status_t connect_endpoints(plan_t *plan, sgp_endpoint_t *all, int rank, int listener,
                                      sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_connect_options_t connection = {.endpoints = all,
                                        .rank = rank,
                                        .size = all[rank].size,
                                        .listener = listener,
                                        .answers = !is_private(plan->place.source),
                                        .key = plan->keyed ? &plan->key : NULL,
                                        .insecure = plan->insecure,
                                        .timeout_ms = time_to_meet(plan),
                                        .peer_timeout_ms = plan->peer_timeout_ms};
    sgp_status_t status = sgp_connect_endpoints(&connection, &transport);
    if (status != SGP_OK) return status;
    plan->keyed = sgp_connect_key(&connection, &plan->key);
    return make_group(plan, &all[rank], transport, group);
}

static sgp_status_t join_by_endpoints(plan_t *plan, sgp_group_t **group) {
    sgp_endpoint_t mine, *all = NULL;
    int listener = -1;
    sgp_status_t status = sgp_endpoint_init(&mine, is_private(plan->place.source));
    if (status != SGP_OK) return status;
    mine.rank = plan->place.rank;
    mine.size = plan->place.size;
    mine.fingerprint = plan->place.fingerprint;
    mine.transport = plan->transport;
    status = exchange(plan, &mine, &listener, &all);
    if (status == SGP_OK) {
        sgp_log_set_rank(mine.rank);
        return status = connect_endpoints(plan, all, mine.rank, listener, group), free(all), status;
    }
    if (listener >= 0) close(listener);
    return status;
}

/* MPI knows by itself who takes part. */
static sgp_status_t join_mpi(const plan_t *plan, sgp_group_t **group) {
    const sgp_placement_t *place = &plan->place;
    bool placed = place->source != SGP_SOURCE_NONE && place->rank >= 0;
    sgp_transport_t *transport = NULL;
    sgp_status_t status =
        sgp_join_mpi(placed ? place->rank : 0, placed ? place->size : 0, &transport);
    return status == SGP_OK ? make_group(plan, NULL, transport, group) : status;
}

sgp_status_t sgp_group_join(const sgp_group_options_t *options, sgp_group_t **group) {
    plan_t plan;
    sgp_status_t status = check_options(options);
    if (status == SGP_OK) status = make_plan(options, &plan);
    if (status != SGP_OK) return status;
    if (plan.transport == SGP_CHOICE_MPI) status = join_mpi(&plan, group);
    else status = is_plain(&plan) ? join_plain(&plan, group) : join_by_endpoints(&plan, group);
    if (status == SGP_OK) sgp_log_set_rank(sgp_group_rank(*group));
    return status;
}
