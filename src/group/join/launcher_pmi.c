/* SPDX-License-Identifier: Apache-2.0 */
/* mpirun of MPICH (Hydra), by PMI-1: lines of "name=value" on a socket that the process inherits,
 * one answer for each request. Endpoints travel as hexadecimal values. */
#include "group/join/environment.h"
#include "group/join/launcher.h"

#include "base/logging.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 2048, NAME = 512 };

typedef struct pmi {
    int socket;
    const sgp_deadline_t *deadline;
    char answer[LINE];
    char space[NAME]; /* the job's name space of values */
} pmi_t;

static sgp_status_t no_answer(const char *cause) {
    return sgp_fail(SGP_ERR_SYSTEM, "mpirun (PMI): %s", cause);
}

/* One line; the launcher sends nothing unasked. */
static sgp_status_t read_line(pmi_t *pmi) {
    size_t length = 0;
    while (length == 0 || pmi->answer[length - 1] != '\n') {
        struct pollfd readable = {.fd = pmi->socket, .events = POLLIN};
        int left = sgp_deadline_left_ms(pmi->deadline);
        if (left == 0)
            return sgp_fail(SGP_ERR_TIMEOUT, "mpirun (PMI): not all processes came within %d ms",
                            pmi->deadline->timeout_ms);
        if (poll(&readable, 1, left) <= 0) continue;
        if (length == sizeof pmi->answer - 1) return no_answer("its answer is too long");
        ssize_t got = read(pmi->socket, pmi->answer + length, sizeof pmi->answer - 1 - length);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return no_answer(got < 0 ? strerror(errno) : "the launcher ended");
        length += (size_t)got;
    }
    pmi->answer[length - 1] = '\0';
    return SGP_OK;
}

/* The value of a name in the answer, up to the next space. false: missing, or longer than
 * `room`. */
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

/* Sends a request; the answer must be of that kind. */
__attribute__((format(printf, 3, 4))) static sgp_status_t ask(pmi_t *pmi, const char *kind,
                                                              const char *request, ...) {
    char line[LINE], word[64];
    va_list arguments;
    va_start(arguments, request);
    int length = vsnprintf(line, sizeof line, request, arguments);
    va_end(arguments);
    if (length >= (int)sizeof line) return no_answer("a request is too long");
    if (write(pmi->socket, line, (size_t)length) != length) return no_answer(strerror(errno));
    sgp_status_t status = read_line(pmi);
    if (status != SGP_OK) return status;
    if (!value_of(pmi, "cmd", word, sizeof word) || strcmp(word, kind) != 0 ||
        (value_of(pmi, "rc", word, sizeof word) && strcmp(word, "0") != 0))
        return sgp_fail(SGP_ERR_SYSTEM, "mpirun (PMI): \"%.100s\" does not answer \"%.*s\"",
                        pmi->answer, (int)strcspn(line, "\n"), line);
    return SGP_OK;
}

static sgp_status_t put_endpoint(pmi_t *pmi, const sgp_endpoint_t *mine) {
    char text[SGP_ENDPOINT_HEX];
    sgp_endpoint_to_hex(mine, text);
    return ask(pmi, "put_result", "cmd=put kvsname=%s key=sgp-%d value=%s\n", pmi->space,
               mine->rank, text);
}

static sgp_status_t get_endpoint(pmi_t *pmi, int rank, sgp_endpoint_t *endpoint) {
    char text[SGP_ENDPOINT_HEX] = "";
    sgp_status_t status =
        ask(pmi, "get_result", "cmd=get kvsname=%s key=sgp-%d\n", pmi->space, rank);
    if (status != SGP_OK) return status;
    value_of(pmi, "value", text, sizeof text);
    if (sgp_endpoint_of_hex(text, endpoint) == SGP_OK) return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH, "node %d gave no endpoint of this version of sgp", rank);
}

/* All processes have put their endpoints when the barrier ends. */
static sgp_status_t put_and_get(pmi_t *pmi, const sgp_endpoint_t *mine, sgp_endpoint_t *all) {
    sgp_status_t status = ask(pmi, "response_to_init", "cmd=init pmi_version=1 pmi_subversion=1\n");
    if (status == SGP_OK) status = ask(pmi, "my_kvsname", "cmd=get_my_kvsname\n");
    if (status == SGP_OK && !value_of(pmi, "kvsname", pmi->space, sizeof pmi->space))
        status = no_answer("it names no space for the values of this job");
    if (status == SGP_OK) status = put_endpoint(pmi, mine);
    if (status == SGP_OK) status = ask(pmi, "barrier_out", "cmd=barrier_in\n");
    for (int r = 0; r < mine->size && status == SGP_OK; r++) status = get_endpoint(pmi, r, &all[r]);
    if (status == SGP_OK) status = ask(pmi, "finalize_ack", "cmd=finalize\n");
    return status;
}

static sgp_status_t exchange(const sgp_exchange_t *with, sgp_endpoint_t *mine, int *listener,
                             sgp_endpoint_t **all) {
    (void)listener;
    const char *number = getenv("PMI_FD");
    pmi_t pmi = {.socket = number ? atoi(number) : -1, .deadline = with->deadline};
    sgp_endpoint_t *endpoints = calloc((size_t)mine->size, sizeof *endpoints);
    if (!endpoints) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", mine->size);
    sgp_status_t status = put_and_get(&pmi, mine, endpoints);
    if (status == SGP_OK) *all = endpoints;
    else free(endpoints);
    return status;
}

static bool recognise(const sgp_group_options_t *options) {
    (void)options;
    return sgp_environment_text("PMI_FD") && sgp_environment_text("PMI_RANK") &&
           sgp_environment_text("PMI_SIZE");
}

static sgp_status_t place(const sgp_group_options_t *options, sgp_placement_t *placement) {
    (void)options;
    return sgp_environment_place("PMI_RANK", "PMI_SIZE", placement);
}

const sgp_launcher_t sgp_launcher_pmi = {
    .name = "PMI_SIZE",
    .timeout_ms = SGP_LAUNCHER_TIMEOUT_MS,
    .private_channel = true,
    .recognise = recognise,
    .place = place,
    .exchange = exchange,
};
