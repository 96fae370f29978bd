/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/endpoint.h"

#include "base/constants.h"
#include "base/bytes.h"
#include "base/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Little-endian; bytes that are not named are 0:
 *   0 magic   4 version   8 rank   12 size   16 run   24 machine   32 fingerprint   40 transport
 *  44 port   48 address   112 host   160 version of the library   184 secret
 * 248 hash of all before */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_RANK = 8,
    AT_SIZE = 12,
    AT_RUN = 16,
    AT_MACHINE = 24,
    AT_FINGERPRINT = 32,
    AT_TRANSPORT = 40,
    AT_PORT = 44,
    AT_ADDRESS = 48,
    AT_HOST = 112,
    AT_LIBRARY = 160,
    AT_SECRET = 184,
    AT_HASH = 248
};

#define MAGIC   0x43504753u /* "SGPC" */
#define VERSION 1

void sgp_endpoint_encode(const sgp_endpoint_t *endpoint, unsigned char bytes[SGP_ENDPOINT_BYTES]) {
    memset(bytes, 0, SGP_ENDPOINT_BYTES);
    sgp_bytes_put(bytes + AT_MAGIC, MAGIC, 4);
    sgp_bytes_put(bytes + AT_VERSION, VERSION, 4);
    sgp_bytes_put(bytes + AT_RANK, (uint32_t)endpoint->rank, 4);
    sgp_bytes_put(bytes + AT_SIZE, (uint32_t)endpoint->size, 4);
    sgp_bytes_put(bytes + AT_RUN, endpoint->run, 8);
    sgp_bytes_put(bytes + AT_MACHINE, endpoint->machine, 8);
    sgp_bytes_put(bytes + AT_FINGERPRINT, endpoint->fingerprint, 8);
    sgp_bytes_put(bytes + AT_TRANSPORT, endpoint->transport, 4);
    sgp_bytes_put(bytes + AT_PORT, (uint32_t)endpoint->port, 4);
    memcpy(bytes + AT_ADDRESS, endpoint->address,
           strnlen(endpoint->address, sizeof endpoint->address - 1));
    memcpy(bytes + AT_HOST, endpoint->host, strnlen(endpoint->host, sizeof endpoint->host - 1));
    memcpy(bytes + AT_LIBRARY, endpoint->version,
           strnlen(endpoint->version, sizeof endpoint->version - 1));
    memcpy(bytes + AT_SECRET, endpoint->secret, sizeof endpoint->secret);
    sgp_bytes_put(bytes + AT_HASH, XXH3_64bits(bytes, AT_HASH), 8);
}

/* Printable text that ends within `room`. */
static bool take_text(const unsigned char *at, char *text, size_t room) {
    size_t length = strnlen((const char *)at, room);
    if (length == room) return false;
    for (size_t i = 0; i < length; i++)
        if (at[i] <= ' ' || at[i] > '~') return false;
    memset(text, 0, room);
    memcpy(text, at, length);
    return true;
}

sgp_status_t sgp_endpoint_decode(const unsigned char bytes[SGP_ENDPOINT_BYTES],
                                 sgp_endpoint_t *endpoint) {
    sgp_endpoint_t read = {.rank = (int32_t)sgp_bytes_get(bytes + AT_RANK, 4),
                           .size = (int32_t)sgp_bytes_get(bytes + AT_SIZE, 4),
                           .run = sgp_bytes_get(bytes + AT_RUN, 8),
                           .machine = sgp_bytes_get(bytes + AT_MACHINE, 8),
                           .fingerprint = sgp_bytes_get(bytes + AT_FINGERPRINT, 8),
                           .port = (int32_t)sgp_bytes_get(bytes + AT_PORT, 4)};
    uint64_t choice = sgp_bytes_get(bytes + AT_TRANSPORT, 4);
    if (sgp_bytes_get(bytes + AT_MAGIC, 4) != MAGIC ||
        sgp_bytes_get(bytes + AT_VERSION, 4) != VERSION ||
        sgp_bytes_get(bytes + AT_HASH, 8) != XXH3_64bits(bytes, AT_HASH))
        return SGP_ERR_FORMAT;
    if (read.size < 1 || read.size > SGP_MOST_PROCESSES || read.rank < -1 ||
        read.rank >= read.size || read.run == 0 || choice > SGP_CHOICE_LAST || read.port < 0 ||
        read.port > 65535)
        return SGP_ERR_FORMAT;
    if (!take_text(bytes + AT_ADDRESS, read.address, sizeof read.address) ||
        !take_text(bytes + AT_HOST, read.host, sizeof read.host) ||
        !take_text(bytes + AT_LIBRARY, read.version, sizeof read.version))
        return SGP_ERR_FORMAT;
    read.transport = (sgp_transport_choice_t)choice;
    memcpy(read.secret, bytes + AT_SECRET, sizeof read.secret);
    *endpoint = read;
    return SGP_OK;
}

void sgp_endpoint_to_hex(const sgp_endpoint_t *endpoint, char text[SGP_ENDPOINT_HEX]) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    sgp_endpoint_encode(endpoint, bytes);
    for (int i = 0; i < SGP_ENDPOINT_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

sgp_status_t sgp_endpoint_of_hex(const char *text, sgp_endpoint_t *endpoint) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    if (!text || strnlen(text, SGP_ENDPOINT_HEX) != SGP_ENDPOINT_HEX - 1) return SGP_ERR_FORMAT;
    for (int i = 0; i < SGP_ENDPOINT_BYTES; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) return SGP_ERR_FORMAT;
        bytes[i] = (unsigned char)byte;
    }
    return sgp_endpoint_decode(bytes, endpoint);
}

uint64_t sgp_endpoint_machine(void) {
    struct {
        char boot[64];
        uint64_t user, device, inode;
    } common = {.user = geteuid()};
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, common.boot, sizeof common.boot) <= 0) common.boot[0] = '\0';
        close(file);
    }
    struct stat place;
    if (stat("/tmp", &place) == 0) {
        common.device = place.st_dev;
        common.inode = place.st_ino;
    }
    return XXH3_64bits(&common, sizeof common);
}

static bool fill_random(void *place, size_t bytes) {
    return getrandom(place, bytes, 0) == (ssize_t)bytes; /* never cut short: at most 256 bytes */
}

static void find_host(char host[SGP_ENDPOINT_HOST]) {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    memset(host, 0, SGP_ENDPOINT_HOST);
    for (size_t i = 0; i < SGP_ENDPOINT_HOST - 1 && name[i] > ' ' && name[i] <= '~'; i++)
        host[i] = name[i];
}

sgp_status_t sgp_endpoint_init(sgp_endpoint_t *endpoint, bool secret) {
    *endpoint =
        (sgp_endpoint_t){.rank = -1, .machine = sgp_endpoint_machine(), .version = SGP_VERSION};
    find_host(endpoint->host);
    while (endpoint->run == 0)
        if (!fill_random(&endpoint->run, sizeof endpoint->run)) goto fail;
    if (!secret || fill_random(endpoint->secret, sizeof endpoint->secret)) return SGP_OK;
fail:
    return sgp_fail(SGP_ERR_SYSTEM, "no random numbers: %s", strerror(errno));
}

const char *sgp_transport_choice_name(sgp_transport_choice_t choice) {
    static const char *const names[] = {"auto", "shm", "tcp", "mpi"};
    return names[choice];
}

static sgp_status_t differ(const sgp_endpoint_t *zero, const sgp_endpoint_t *other) {
    if (other->size != zero->size)
        return sgp_fail(SGP_ERR_MISMATCH, "node %d counts %d nodes and node 0 counts %d",
                        other->rank, other->size, zero->size);
    if (strcmp(other->version, zero->version) != 0)
        return sgp_fail(SGP_ERR_MISMATCH, "node %d (%s) has sgp %s and node 0 (%s) has %s",
                        other->rank, other->host, other->version, zero->host, zero->version);
    if (other->transport != zero->transport)
        return sgp_fail(SGP_ERR_MISMATCH,
                        "node %d (%s) has transport %s and node 0 (%s) has %s: give all the same",
                        other->rank, other->host, sgp_transport_choice_name(other->transport),
                        zero->host, sgp_transport_choice_name(zero->transport));
    if (other->fingerprint != zero->fingerprint)
        return sgp_fail(SGP_ERR_MISMATCH, "node %d (%s) belongs to another job than node 0 (%s)",
                        other->rank, other->host, zero->host);
    return SGP_OK;
}

sgp_status_t sgp_endpoint_check_all(const sgp_endpoint_t *all, int size) {
    if (all[0].size != size)
        return sgp_fail(SGP_ERR_MISMATCH, "node 0 counts %d nodes, and here there are %d",
                        all[0].size, size);
    for (int r = 0; r < size; r++) {
        if (all[r].rank != r)
            return sgp_fail(SGP_ERR_MISMATCH, "node %d has the endpoint of node %d", r,
                            all[r].rank);
        sgp_status_t status = differ(&all[0], &all[r]);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}
