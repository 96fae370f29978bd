/* SPDX-License-Identifier: Apache-2.0 */
/* PMI-1, as MPICH's launcher Hydra speaks it (and srun --mpi=pmi2): lines of "name=value" on a socket that
 * the process inherits, one answer for each request. Endpoints travel as hexadecimal values. */
#include "group/join/exchange.h"

#include "base/logging.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 2048, NAME = 512, HEX = 2 * SGP_ENDPOINT_BYTES + 1 };

typedef struct pmi {
    int socket;
    const sgp_deadline_t *deadline;
    char answer[LINE];
    char space[NAME]; /* the name under which values are kept */
} pmi_t;

static sgp_status_t no_answer(const char *cause) {
    return sgp_fail(SGP_ERR_SYSTEM, "mpirun (PMI): %s", cause);
}

/* One line; the launcher sends nothing that was not asked for. */
static sgp_status_t read_line(pmi_t *pmi) {
    size_t length = 0;
    while (length == 0 || pmi->answer[length - 1] != '\n') {
        struct pollfd readable = {.fd = pmi->socket, .events = POLLIN};
        int left = sgp_deadline_left_ms(pmi->deadline);
        if (left == 0)
            return sgp_fail(SGP_ERR_TIMEOUT, "mpirun (PMI): not all processes came within %d ms",
                            pmi->deadline->timeout_ms);
        if (poll(&readable, 1, left) <= 0) continue;
        if (length == sizeof pmi->answer - 1) return no_answer("an answer of too many characters");
        ssize_t got = read(pmi->socket, pmi->answer + length, sizeof pmi->answer - 1 - length);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return no_answer(got < 0 ? strerror(errno) : "the launcher has gone");
        length += (size_t)got;
    }
    pmi->answer[length - 1] = '\0';
    return SGP_OK;
}

/* The value behind a name in the answer, up to the next space; false: it is not there. */
static bool value_of(const pmi_t *pmi, const char *name, char *value, size_t room) {
    size_t length = strlen(name);
    for (const char *at = pmi->answer; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
        size_t count = strcspn(at + length + 1, " ");
        if (count >= room) return false;
        memcpy(value, at + length + 1, count);
        value[count] = '\0';
        return true;
    }
    return false;
}

/* Sends a request, and wants an answer of that kind. */
__attribute__((format(printf, 3, 4))) static sgp_status_t ask(pmi_t *pmi, const char *kind,
                                                              const char *request, ...) {
    char line[LINE], word[64];
    va_list arguments;
    va_start(arguments, request);
    int length = vsnprintf(line, sizeof line, request, arguments);
    va_end(arguments);
    if (length >= (int)sizeof line) return no_answer("a request of too many characters");
    if (write(pmi->socket, line, (size_t)length) != length) return no_answer(strerror(errno));
    sgp_status_t status = read_line(pmi);
    if (status != SGP_OK) return status;
    if (!value_of(pmi, "cmd", word, sizeof word) || strcmp(word, kind) != 0 ||
        (value_of(pmi, "rc", word, sizeof word) && strcmp(word, "0") != 0))
        return sgp_fail(SGP_ERR_SYSTEM, "mpirun (PMI): \"%.100s\" is no good answer to \"%.*s\"",
                        pmi->answer, (int)strcspn(line, "\n"), line);
    return SGP_OK;
}

static sgp_status_t put_endpoint(pmi_t *pmi, const sgp_endpoint_t *mine) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    char text[HEX];
    sgp_endpoint_encode(mine, bytes);
    for (int i = 0; i < SGP_ENDPOINT_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return ask(pmi, "put_result", "cmd=put kvsname=%s key=sgp-%d value=%s\n", pmi->space,
               mine->rank, text);
}

static sgp_status_t get_endpoint(pmi_t *pmi, int rank, sgp_endpoint_t *endpoint) {
    unsigned char bytes[SGP_ENDPOINT_BYTES] = {0};
    char text[HEX] = "";
    sgp_status_t status =
        ask(pmi, "get_result", "cmd=get kvsname=%s key=sgp-%d\n", pmi->space, rank);
    if (status != SGP_OK) return status;
    value_of(pmi, "value", text, sizeof text);
    for (int i = 0; i < SGP_ENDPOINT_BYTES && text[2 * i]; i++) {
        unsigned byte = 0;
        sscanf(text + 2 * i, "%2x", &byte);
        bytes[i] = (unsigned char)byte;
    }
    if (sgp_endpoint_decode(bytes, endpoint) == SGP_OK) return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH, "node %d has shown no endpoint of this version of sgp", rank);
}

sgp_status_t sgp_exchange_pmi(sgp_endpoint_t *mine, const sgp_deadline_t *deadline,
                              sgp_endpoint_t **all) {
    const char *number = getenv("PMI_FD");
    pmi_t pmi = {.socket = number ? atoi(number) : -1, .deadline = deadline};
    sgp_endpoint_t *endpoints = calloc((size_t)mine->size, sizeof *endpoints);
    if (!endpoints) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", mine->size);
    sgp_status_t status =
        ask(&pmi, "response_to_init", "cmd=init pmi_version=1 pmi_subversion=1\n");
    if (status == SGP_OK) status = ask(&pmi, "my_kvsname", "cmd=get_my_kvsname\n");
    if (status == SGP_OK && !value_of(&pmi, "kvsname", pmi.space, sizeof pmi.space))
        status = no_answer("it gives no name for the values of this job");
    if (status == SGP_OK) status = put_endpoint(&pmi, mine);
    if (status == SGP_OK) status = ask(&pmi, "barrier_out", "cmd=barrier_in\n");
    for (int r = 0; r < mine->size && status == SGP_OK; r++)
        status = get_endpoint(&pmi, r, &endpoints[r]);
    if (status == SGP_OK) status = ask(&pmi, "finalize_ack", "cmd=finalize\n");
    if (status == SGP_OK) *all = endpoints;
    else free(endpoints);
    return status;
}
