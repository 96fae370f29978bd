/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/placement.h"

#include "base/constants.h"
#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST = SGP_MOST_PROCESSES, PORTS_TRIED = 17 };

static const char *variable(const char *name) {
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

static sgp_status_t read_number(const char *name, int most, int *value) {
    const char *text = getenv(name);
    char *end;
    if (!text) return sgp_fail(SGP_ERR_INVALID, "%s is not set", name);
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < 0 || number > most)
        return sgp_fail(SGP_ERR_INVALID, "%s is \"%s\", must be a whole number from 0 to %d", name,
                        text, most);
    *value = (int)number;
    return SGP_OK;
}

static sgp_status_t check_size(int size) {
    if (size >= 1 && size <= MOST) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "a group of %d processes: must be 1 to %d", size, MOST);
}

/* Of rank and size, both of which are needed. */
static sgp_status_t read_place(const char *rank, const char *size, sgp_placement_t *place) {
    sgp_status_t status = read_number(size, MOST, &place->size);
    if (status == SGP_OK) status = read_number(rank, MOST, &place->rank);
    if (status == SGP_OK && (place->size < 1 || place->rank >= place->size))
        return sgp_fail(SGP_ERR_INVALID, "%s is %d and %s is %d: a rank is below the size", rank,
                        place->rank, size, place->size);
    return status;
}

static uint64_t hash_of(const char *text) {
    uint64_t hash = XXH3_64bits(text, strlen(text));
    return hash ? hash : 1;
}

/* ---- each source ---- */

static sgp_status_t from_directory(const sgp_group_options_t *options, sgp_placement_t *place) {
    place->source = SGP_SOURCE_DIRECTORY;
    if (options->size == 0) return read_place("SGP_RANK", "SGP_SIZE", place);
    place->rank = options->rank;
    place->size = options->size;
    return check_size(place->size);
}

static sgp_status_t from_join(const sgp_group_options_t *options, const char *at,
                              sgp_placement_t *place) {
    sgp_status_t status = SGP_OK;
    place->source = SGP_SOURCE_JOIN;
    place->founder = SGP_JOIN_ROLE_ANY;
    place->size = options->size;
    if ((size_t)snprintf(place->at, sizeof place->at, "%s", at) >= sizeof place->at)
        return sgp_fail(SGP_ERR_INVALID, "join: an address of more than %zu characters",
                        sizeof place->at);
    if (options->claim_rank || (options->size > 0 && !options->join)) place->rank = options->rank;
    else if (variable("SGP_RANK")) status = read_number("SGP_RANK", MOST, &place->rank);
    if (status == SGP_OK && options->size == 0 && !variable("SGP_SIZE"))
        return sgp_fail(
            SGP_ERR_INVALID,
            "join %s: how many processes make the group is not said (size, or SGP_SIZE)", at);
    if (status == SGP_OK && options->size == 0)
        status = read_number("SGP_SIZE", MOST, &place->size);
    if (status == SGP_OK) status = check_size(place->size);
    if (status == SGP_OK && (place->rank >= place->size || place->rank < -1))
        return sgp_fail(SGP_ERR_INVALID, "rank %d of %d nodes: must be 0 to %d", place->rank,
                        place->size, place->size - 1);
    return status;
}

/* An interactive shell of Slurm has all variables of a step of one process, and is no launcher. */
static bool alone_in_step(void) {
    const char *tasks = variable("SLURM_STEP_NUM_TASKS");
    return tasks && strcmp(tasks, "1") == 0 && !variable("OMPI_COMM_WORLD_SIZE");
}

static bool has_pmix(void) {
    return (variable("PMIX_NAMESPACE") && variable("PMIX_RANK")) ||
           variable("OMPI_COMM_WORLD_SIZE");
}

/* PMIx itself says the rest; this much is there early. */
static sgp_status_t from_pmix(sgp_placement_t *place) {
    place->source = SGP_SOURCE_PMIX;
    if (variable("OMPI_COMM_WORLD_SIZE") && variable("OMPI_COMM_WORLD_RANK"))
        return read_place("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", place);
    if (variable("SLURM_PROCID") && variable("SLURM_STEP_NUM_TASKS"))
        return read_place("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", place);
    return variable("PMIX_RANK") ? read_number("PMIX_RANK", MOST, &place->rank) : SGP_OK;
}

static sgp_status_t from_pmi(sgp_placement_t *place) {
    place->source = SGP_SOURCE_PMI;
    return read_place("PMI_RANK", "PMI_SIZE", place);
}

static bool has_torchrun(void) {
    return variable("RANK") && variable("WORLD_SIZE") && variable("MASTER_ADDR") &&
           variable("MASTER_PORT");
}

/* torchrun's own store may listen on MASTER_PORT, and so may the program's. */
static sgp_status_t from_torchrun(sgp_placement_t *place) {
    const char *host = variable("MASTER_ADDR"), *store = variable("TORCHELASTIC_USE_AGENT_STORE");
    const char *run = variable("TORCHELASTIC_RUN_ID");
    const char *restart = variable("TORCHELASTIC_RESTART_COUNT");
    char job[SGP_PLACEMENT_TEXT];
    int port = 0;
    place->source = SGP_SOURCE_TORCHRUN;
    sgp_status_t status = read_place("RANK", "WORLD_SIZE", place);
    if (status == SGP_OK) status = read_number("MASTER_PORT", 65535 - PORTS_TRIED, &port);
    if (status != SGP_OK) return status;
    snprintf(job, sizeof job, "torchrun %s %s %d %d", run ? run : "", restart ? restart : "", port,
             place->size);
    place->fingerprint = hash_of(job);
    place->founder = place->rank == 0 ? SGP_JOIN_ROLE_SERVER : SGP_JOIN_ROLE_CLIENT;
    bool taken = store && strcmp(store, "True") == 0;
    place->ports = taken ? PORTS_TRIED - 1 : PORTS_TRIED;
    const char *format = strchr(host, ':') && *host != '[' ? "[%s]:%d" : "%s:%d";
    if ((size_t)snprintf(place->at, sizeof place->at, format, host, port + taken) >=
        sizeof place->at)
        return sgp_fail(SGP_ERR_INVALID, "MASTER_ADDR has more than %zu characters",
                        sizeof place->at);
    return SGP_OK;
}

bool sgp_slurm_first_host(const char *list, char *host, size_t room) {
    size_t length = 0;
    for (const char *at = list; *at && *at != ','; at++) {
        if (*at == '[') {
            const char *end = strchr(at, ']');
            if (!end) return false;
            for (at++; *at >= '0' && *at <= '9'; at++)
                if (length < room) host[length++] = *at;
            at = end;
        } else if (length < room) host[length++] = *at;
    }
    if (length == 0 || length >= room) return false;
    host[length] = '\0';
    return true;
}

static bool has_slurm(void) {
    return variable("SLURM_PROCID") && variable("SLURM_STEP_NUM_TASKS") &&
           variable("SLURM_STEP_NODELIST") && variable("SLURM_STEP_ID");
}

/* Rank 0 runs on the first host; the port follows from the job, so that two of them seldom meet. */
static sgp_status_t from_slurm(sgp_placement_t *place) {
    enum { FIRST_PORT = 17000, SPAN = 14000 };
    char host[SGP_PLACEMENT_TEXT - 8], text[SGP_PLACEMENT_TEXT];
    const char *job = variable("SLURM_JOB_ID"), *list = variable("SLURM_STEP_NODELIST");
    place->source = SGP_SOURCE_SLURM;
    sgp_status_t status = read_place("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", place);
    if (status != SGP_OK) return status;
    if (!sgp_slurm_first_host(list, host, sizeof host))
        return sgp_fail(SGP_ERR_INVALID,
                        "SLURM_STEP_NODELIST is \"%.200s\", must be a list of hosts", list);
    snprintf(text, sizeof text, "slurm %s.%s %d", job ? job : "", variable("SLURM_STEP_ID"),
             place->size);
    place->fingerprint = hash_of(text);
    place->founder = place->rank == 0 ? SGP_JOIN_ROLE_SERVER : SGP_JOIN_ROLE_CLIENT;
    place->ports = PORTS_TRIED;
    snprintf(place->at, sizeof place->at, "%s:%d", host,
             FIRST_PORT + (int)(place->fingerprint % SPAN));
    return SGP_OK;
}

/* ---- which of them ---- */

sgp_status_t sgp_placement_find(const sgp_group_options_t *options, sgp_placement_t *place) {
    const char *rendezvous = options->rendezvous ? options->rendezvous : variable("SGP_RENDEZVOUS");
    const char *join = options->join;
    *place = (sgp_placement_t){.rank = -1, .ports = 1, .rendezvous = rendezvous};
    if (!join && !rendezvous) join = variable("SGP_JOIN");
    if (join) return from_join(options, join, place);
    if (options->size > 0 || getenv("SGP_SIZE") || getenv("SGP_RANK"))
        return from_directory(options, place);
    if (has_pmix() && !alone_in_step()) return from_pmix(place);
    if (variable("PMI_FD") && variable("PMI_RANK") && variable("PMI_SIZE")) return from_pmi(place);
    if (has_torchrun()) return from_torchrun(place);
    if (has_slurm() && !alone_in_step()) return from_slurm(place);
    place->rank = 0;
    place->size = 1;
    return SGP_OK;
}

const char *sgp_source_name(sgp_source_t source) {
    static const char *const names[] = {
        "nobody", "SGP_SIZE", "--join", "PMIx", "PMI_SIZE", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"};
    return names[source];
}
