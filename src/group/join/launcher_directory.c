/* SPDX-License-Identifier: Apache-2.0 */
/* sgp run, and any other launcher that states rank, size and a directory. All processes can reach
 * the directory and no other user can; it may be on a file system that machines share.
 *
 * Each process writes its endpoint under a draft name, links it to the name that the others look
 * for once it is complete, and renames it when it has read all the others. The process that finds
 * all of them renamed removes them. */
#include "group/join/environment.h"
#include "group/join/launcher.h"

#include "base/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_PAUSE_MS = 2, LONGEST_PAUSE_MS = 100, NAME = 64 };

/* Names of files, which other builds of this version look for: "card-3" is complete, "read-3" has
 * read all the others. */
#define WRITTEN "card"
#define READ    "read"

typedef struct exchange {
    const char *path;
    int directory;
    const sgp_endpoint_t *mine;
    const sgp_deadline_t *deadline;
    sgp_endpoint_t *all; /* (size) */
} exchange_t;

static const char *name_of(const char *kind, int rank, char name[NAME]) {
    snprintf(name, NAME, "%s-%d", kind, rank);
    return name;
}

/* ---- writing ours ---- */

static sgp_status_t cannot_write(const exchange_t *exchange, int error) {
    return sgp_fail(SGP_ERR_SYSTEM, "cannot write into the rendezvous directory %s: %s",
                    exchange->path, strerror(error));
}

/* Unique among all machines, as the run is random. */
static void draft_name(const exchange_t *exchange, char name[NAME]) {
    snprintf(name, NAME, ".card-%d-%016llx", exchange->mine->rank,
             (unsigned long long)exchange->mine->run);
}

static sgp_status_t write_draft(const exchange_t *exchange, const char *name) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    int file = openat(exchange->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return cannot_write(exchange, errno);
    sgp_endpoint_encode(exchange->mine, bytes);
    ssize_t written = write(file, bytes, sizeof bytes);
    int error = written < 0 ? errno : written != sizeof bytes ? ENOSPC : 0;
    if (close(file) != 0 && !error) error = errno;
    return error ? cannot_write(exchange, error) : SGP_OK;
}

/* A link, unlike a rename, fails if the name exists. */
static sgp_status_t publish(const exchange_t *exchange) {
    char draft[NAME], name[NAME];
    int directory = exchange->directory, rank = exchange->mine->rank;
    draft_name(exchange, draft);
    sgp_status_t status = write_draft(exchange, draft);
    name_of(WRITTEN, rank, name);
    if (status == SGP_OK && linkat(directory, draft, directory, name, 0) != 0) {
        if (errno == EEXIST)
            status = sgp_fail(SGP_ERR_INVALID,
                              "rank %d is taken in %s: two nodes claim one rank, or the directory "
                              "is left from another run",
                              rank, exchange->path);
        else status = cannot_write(exchange, errno);
    }
    unlinkat(directory, draft, 0);
    return status;
}

/* ---- reading all ---- */

/* SGP_ERR_AGAIN: not there yet. */
static sgp_status_t read_endpoint(const exchange_t *exchange, int rank) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    char name[NAME];
    int directory = exchange->directory;
    int file = openat(directory, name_of(WRITTEN, rank, name), O_RDONLY | O_CLOEXEC);
    if (file < 0) file = openat(directory, name_of(READ, rank, name), O_RDONLY | O_CLOEXEC);
    if (file < 0 && (errno == ENOENT || errno == ESTALE)) return SGP_ERR_AGAIN;
    if (file < 0)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot read %s in %s: %s", name, exchange->path,
                        strerror(errno));
    ssize_t got = read(file, bytes, sizeof bytes);
    close(file);
    /* A network file system may show a name before its contents. */
    if (got >= 0 && got < (ssize_t)sizeof bytes) return SGP_ERR_AGAIN;
    if (got != sizeof bytes || sgp_endpoint_decode(bytes, &exchange->all[rank]) != SGP_OK)
        return sgp_fail(SGP_ERR_MISMATCH, "%s in %s is not an endpoint of this version of sgp",
                        name, exchange->path);
    return SGP_OK;
}

static sgp_status_t read_all(const exchange_t *exchange) {
    int pause = FIRST_PAUSE_MS;
    for (int rank = 0; rank < exchange->mine->size;) {
        sgp_status_t status = read_endpoint(exchange, rank);
        if (status == SGP_OK) {
            rank++;
            continue;
        }
        if (status != SGP_ERR_AGAIN) return status;
        int left = sgp_deadline_left_ms(exchange->deadline);
        if (left == 0)
            return sgp_fail(SGP_ERR_TIMEOUT, "node %d of %d did not come within %d ms", rank,
                            exchange->mine->size, exchange->deadline->timeout_ms);
        poll(NULL, 0, pause < left ? pause : left);
        pause = pause < LONGEST_PAUSE_MS ? 2 * pause : LONGEST_PAUSE_MS;
    }
    return SGP_OK;
}

static void clean_up(const exchange_t *exchange) {
    char written[NAME], name[NAME];
    int directory = exchange->directory, size = exchange->mine->size;
    name_of(WRITTEN, exchange->mine->rank, written);
    renameat(directory, written, directory, name_of(READ, exchange->mine->rank, name));
    for (int rank = 0; rank < size; rank++)
        if (faccessat(directory, name_of(READ, rank, name), F_OK, 0) != 0) return;
    for (int rank = 0; rank < size; rank++) unlinkat(directory, name_of(READ, rank, name), 0);
}

static sgp_status_t publish_and_read(const exchange_t *exchange) {
    char name[NAME];
    sgp_status_t status = publish(exchange);
    if (status != SGP_OK) return status;
    status = read_all(exchange);
    if (status == SGP_OK) clean_up(exchange);
    else unlinkat(exchange->directory, name_of(WRITTEN, exchange->mine->rank, name), 0);
    return status;
}

static sgp_status_t exchange_endpoints(const sgp_exchange_t *with, sgp_endpoint_t *mine,
                                       int *listener, sgp_endpoint_t **all) {
    (void)listener;
    exchange_t exchange = {
        .path = with->placement->rendezvous, .mine = mine, .deadline = with->deadline};
    exchange.directory = open(exchange.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (exchange.directory < 0)
        return sgp_fail(SGP_ERR_INVALID, "rendezvous directory %s: %s", exchange.path,
                        strerror(errno));
    exchange.all = calloc((size_t)mine->size, sizeof *exchange.all);
    sgp_status_t status =
        exchange.all ? publish_and_read(&exchange)
                     : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", mine->size);
    close(exchange.directory);
    if (status == SGP_OK) *all = exchange.all;
    else free(exchange.all);
    return status;
}

/* ---- rank and size ---- */

static bool recognise(const sgp_group_options_t *options) {
    return options->size > 0 || getenv("SGP_SIZE") || getenv("SGP_RANK");
}

static sgp_status_t place(const sgp_group_options_t *options, sgp_placement_t *placement) {
    placement->rendezvous =
        options->rendezvous ? options->rendezvous : sgp_environment_text("SGP_RENDEZVOUS");
    if (options->size == 0) return sgp_environment_place("SGP_RANK", "SGP_SIZE", placement);
    placement->rank = options->rank;
    placement->size = options->size;
    return sgp_environment_check_size(placement->size);
}

const sgp_launcher_t sgp_launcher_directory = {
    .name = "SGP_SIZE",
    .timeout_ms = SGP_LAUNCHER_TIMEOUT_MS,
    .private_channel = true,
    .recognise = recognise,
    .place = place,
    .exchange = exchange_endpoints,
};
