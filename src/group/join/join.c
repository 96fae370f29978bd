/* SPDX-License-Identifier: Apache-2.0 */
/* Joining: where this process belongs, everybody's cards, and a transport for them. */
#include "base/abi.h"
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
    sgp_place_t place;
    sgp_carrier_t carrier;
    const char *interface, *ports;
    bool keyed, insecure;
    sgp_key_t key;
    int join_timeout_ms, timeout_ms, peer_timeout_ms;
    sgp_limit_t limit;
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

static sgp_status_t read_carrier(const char *name, sgp_carrier_t *carrier) {
    for (int i = 0; i <= SGP_CARRIER_LAST; i++) {
        *carrier = (sgp_carrier_t)i;
        if (!name || strcmp(name, sgp_carrier_name(*carrier)) == 0) return SGP_OK;
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
    sgp_status_t status = sgp_place_find(options, &plan->place);
    int usual = plan->place.source == SGP_SOURCE_JOIN ? BY_HAND_TIMEOUT_MS : DEFAULT_TIMEOUT_MS;
    if (status == SGP_OK)
        status = read_carrier(either(options->transport, "SGP_TRANSPORT"), &plan->carrier);
    if (status == SGP_OK)
        status = read_time(options->join_timeout_ms, "SGP_JOIN_TIMEOUT_MS", usual,
                           &plan->join_timeout_ms);
    if (status == SGP_OK)
        status =
            read_time(options->peer_timeout_ms, "SGP_PEER_TIMEOUT_MS", 0, &plan->peer_timeout_ms);
    if (status == SGP_OK) status = sgp_secret_find(options, &plan->keyed, &plan->key);
    plan->limit = sgp_limit_make(plan->join_timeout_ms);
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

/* Processes of one machine that meet in a directory need no cards. */
static bool is_plain(const plan_t *plan) {
    const sgp_place_t *place = &plan->place;
    if (place->source == SGP_SOURCE_NONE) return true;
    if (place->source != SGP_SOURCE_DIRECTORY) return false;
    if (place->size <= 1 || plan->carrier == SGP_CARRIER_SHM || !place->rendezvous) return true;
    return plan->carrier == SGP_CARRIER_AUTO && !is_shared(place->rendezvous);
}

/* ---- joining ---- */

static bool copy(const char *text, char **place) {
    *place = text ? strdup(text) : NULL;
    return *place || !text;
}

static sgp_status_t make_group(const plan_t *plan, const sgp_card_t *mine,
                               sgp_transport_t *transport, sgp_group_t **group) {
    sgp_group_t *made;
    sgp_status_t status = sgp_group_create(transport, plan->timeout_ms, &made);
    if (status != SGP_OK) return sgp_transport_destroy(transport), status;
    sgp_group_origin_t *origin = sgp_group_origin(made);
    origin->joined = true;
    origin->shm = !mine || plan->carrier == SGP_CARRIER_SHM;
    origin->tcp = mine && plan->carrier == SGP_CARRIER_TCP;
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

/* Cards that travel through others' hands come without secrets. */
static bool is_private(sgp_source_t source) {
    return source == SGP_SOURCE_DIRECTORY || source == SGP_SOURCE_PMIX || source == SGP_SOURCE_PMI;
}

static sgp_status_t meet(const plan_t *plan, sgp_card_t *mine, int *listener, sgp_card_t **all) {
    const sgp_place_t *place = &plan->place;
    sgp_meeting_t meeting = {.at = place->at,
                             .ports = place->ports,
                             .founder = place->founder,
                             .key = plan->keyed ? &plan->key : NULL,
                             .insecure = plan->insecure,
                             .interface = plan->interface,
                             .listen_ports = plan->ports};
    return sgp_exchange_join(&meeting, mine, &plan->limit, listener, all);
}

static sgp_status_t listen_first(const plan_t *plan, sgp_card_t *mine, int *listener) {
    sgp_address_t bound, published;
    if (plan->carrier == SGP_CARRIER_SHM) return SGP_OK;
    sgp_status_t status =
        sgp_address_listen(plan->interface, plan->ports, listener, &bound, &published);
    if (status == SGP_OK) sgp_address_text(&published, mine->address);
    return status;
}

static sgp_status_t exchange(const plan_t *plan, sgp_card_t *mine, int *listener,
                             sgp_card_t **all) {
    sgp_source_t source = plan->place.source;
    if (!is_private(source)) return meet(plan, mine, listener, all);
    sgp_status_t status = listen_first(plan, mine, listener);
    if (status != SGP_OK) return status;
    if (source == SGP_SOURCE_PMIX) return sgp_exchange_pmix(mine, &plan->limit, all);
    if (source == SGP_SOURCE_PMI) return sgp_exchange_pmi(mine, &plan->limit, all);
    return sgp_exchange_directory(plan->place.rendezvous, mine, &plan->limit, all);
}

/* The time that is left, at least a little: all have come, and only meet again. */
static int time_to_meet(const plan_t *plan) {
    enum { LEAST_MS = 10000 };
    int left = sgp_limit_left_ms(&plan->limit);
    return left > LEAST_MS ? left : LEAST_MS;
}

static sgp_status_t connect_cards(plan_t *plan, sgp_card_t *all, int rank, int listener,
                                  sgp_group_t **group) {
    sgp_transport_t *transport = NULL;
    sgp_party_t party = {.cards = all,
                         .rank = rank,
                         .size = all[rank].size,
                         .listener = listener,
                         .answers = !is_private(plan->place.source),
                         .key = plan->keyed ? &plan->key : NULL,
                         .insecure = plan->insecure,
                         .timeout_ms = time_to_meet(plan),
                         .peer_timeout_ms = plan->peer_timeout_ms};
    sgp_status_t status = sgp_party_connect(&party, &transport);
    if (status != SGP_OK) return status;
    plan->keyed = sgp_party_key(&party, &plan->key);
    return make_group(plan, &all[rank], transport, group);
}

static sgp_status_t join_by_cards(plan_t *plan, sgp_group_t **group) {
    sgp_card_t mine, *all = NULL;
    int listener = -1;
    sgp_status_t status = sgp_card_init(&mine, is_private(plan->place.source));
    if (status != SGP_OK) return status;
    mine.rank = plan->place.rank;
    mine.size = plan->place.size;
    mine.fingerprint = plan->place.fingerprint;
    mine.carrier = plan->carrier;
    status = exchange(plan, &mine, &listener, &all);
    if (status == SGP_OK) {
        sgp_log_set_rank(mine.rank);
        return status = connect_cards(plan, all, mine.rank, listener, group), free(all), status;
    }
    if (listener >= 0) close(listener);
    return status;
}

/* MPI knows by itself who takes part. */
static sgp_status_t join_mpi(const plan_t *plan, sgp_group_t **group) {
    const sgp_place_t *place = &plan->place;
    bool placed = place->source != SGP_SOURCE_NONE && place->rank >= 0;
    sgp_transport_t *transport = NULL;
    sgp_status_t status =
        sgp_join_mpi(placed ? place->rank : 0, placed ? place->size : 0, &transport);
    return status == SGP_OK ? make_group(plan, NULL, transport, group) : status;
}

static sgp_status_t join_group(const sgp_group_options_t *options, sgp_group_t **group) {
    plan_t plan;
    sgp_status_t status = check_options(options);
    if (status == SGP_OK) status = make_plan(options, &plan);
    if (status != SGP_OK) return status;
    if (plan.carrier == SGP_CARRIER_MPI) status = join_mpi(&plan, group);
    else status = is_plain(&plan) ? join_plain(&plan, group) : join_by_cards(&plan, group);
    if (status == SGP_OK) sgp_log_set_rank(sgp_group_rank(*group));
    return status;
}

/* Of version 1.0. */
#define LEAST_OPTIONS (offsetof(sgp_group_options_t, log_level) + sizeof(sgp_log_level_t))

/* The sink is there before the group: threads that joining starts take it over. */
static sgp_status_t join_with_log(const sgp_group_options_t *options, sgp_group_t **group) {
    sgp_log_sink_t *sink = malloc(sizeof *sink);
    if (!sink) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group's log");
    sgp_log_level_t level = options->log_level ? options->log_level : SGP_LOG_WARNING;
    *sink = (sgp_log_sink_t){options->log, options->log_user, level};
    const sgp_log_sink_t *before = sgp_log_use(sink);
    sgp_status_t status = join_group(options, group);
    sgp_log_use(before);
    if (status == SGP_OK) sgp_group_set_sink(*group, sink);
    else free(sink);
    return status;
}

sgp_status_t sgp_group_join_sized(const sgp_group_options_t *options, size_t size,
                                  sgp_group_t **group) {
    sgp_group_options_t ours;
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    sgp_status_t status =
        sgp_abi_read("group options", options, size, &ours, sizeof ours, LEAST_OPTIONS);
    if (status == SGP_OK)
        status = ours.log ? join_with_log(&ours, group) : join_group(&ours, group);
    sgp_api_end(before);
    return status;
}
