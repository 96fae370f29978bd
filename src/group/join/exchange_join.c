/* SPDX-License-Identifier: Apache-2.0 */
/* Who founds, who calls, and for how long it is tried. */
#include "group/join/join_client.h"

#include "base/clock.h"
#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MOST_ADDRESSES = 16,
    FIRST_PAUSE_MS = 20,
    LONGEST_PAUSE_MS = 500,
    TICK_MS = 1000,
    ANSWER_MS = 10000,      /* where one place is asked */
    QUICK_ANSWER_MS = 2000, /* where there are others to ask */
    MOST_HOPS = 4,
};

typedef struct search {
    const sgp_join_options_t *options;
    sgp_endpoint_t *mine;
    const sgp_deadline_t *deadline;
    sgp_address_t places[MOST_ADDRESSES]; /* (count) of HOST */
    int count;
    int ports;
    sgp_address_t interface; /* that was asked for; length 0: none */
    int listener;            /* -1: none yet */
    char cause[SGP_CAUSE + SGP_ADDRESS_TEXT + 2];
} search_t;

/* ---- founding ---- */

/* A name that stands for an address that only this machine can reach, as that of the machine itself does
 * in many a hosts file: the others will find another address behind it. */
static bool means_everywhere(const search_t *search, const sgp_address_t *at) {
    const char *text = search->options->at;
    bool numeric = *text == '[' || text[strspn(text, "0123456789.")] == ':';
    return sgp_address_is_loopback(at) && !numeric && strncmp(text, "localhost", 9) != 0;
}

/* The place of HOST that is here, or NULL: then a founder listens everywhere. */
static const sgp_address_t *place_here(const search_t *search) {
    for (int i = 0; i < search->count; i++)
        if (sgp_address_is_here(&search->places[i])) return &search->places[i];
    return NULL;
}

/* Where to listen: at HOST itself, or everywhere, where the others are to use another address than that. */
static const sgp_address_t *founding_place(const search_t *search) {
    const sgp_address_t *here = place_here(search);
    if (!here || means_everywhere(search, here)) return NULL;
    return search->interface.length && !sgp_address_same_host(here, &search->interface) ? NULL
                                                                                        : here;
}

static sgp_status_t gave_up(sgp_join_server_t *server, const sgp_deadline_t *deadline) {
    char why[SGP_VERDICT_BYTES], time[32];
    snprintf(why, sizeof why, "%d of %d processes came to %s within %s", server->seated + 1,
             server->mine->size, server->founder, sgp_deadline_text(deadline, time));
    sgp_join_server_refuse_all(server, why);
    return sgp_fail(SGP_ERR_TIMEOUT, "%s", why);
}

static sgp_status_t fill(sgp_join_server_t *server, const sgp_deadline_t *deadline) {
    struct pollfd *places = NULL;
    int room = 0;
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK && server->seated + 1 < server->mine->size) {
        int left = sgp_deadline_left_ms(deadline), count = sgp_join_server_sockets(server);
        if (left == 0) status = gave_up(server, deadline);
        struct pollfd *grown =
            count > room ? realloc(places, (size_t)count * sizeof *places) : places;
        if (!grown) status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to wait for %d sockets", count);
        if (status != SGP_OK) break;
        places = grown;
        room = count > room ? count : room;
        sgp_join_server_watch(server, places);
        if (poll(places, (nfds_t)count, left < TICK_MS ? left : TICK_MS) >= 0)
            status = sgp_join_server_serve(server, places);
    }
    free(places);
    return status;
}

static sgp_status_t found(search_t *search, sgp_endpoint_t **all) {
    sgp_join_server_t server;
    sgp_address_t published;
    sgp_endpoint_t *mine = search->mine;
    sgp_status_t status = sgp_address_published(search->listener, &published);
    if (status != SGP_OK) return status;
    if (search->interface.length) {
        int port = sgp_address_port(&published);
        published = search->interface;
        sgp_address_set_port(&published, port);
    }
    sgp_address_text(&published, mine->address);
    mine->port = 0;
    sgp_join_server_init(&server, search->listener, search->options, mine, true);
    memcpy(server.founder, mine->address, sizeof server.founder);
    sgp_log(SGP_LOG_INFO, "the group is founded at %s, and waits for %d more", server.founder,
            mine->size - 1);
    int rank = mine->rank;
    status = fill(&server, search->deadline);
    if (status == SGP_OK) status = sgp_join_server_complete(&server, &rank, all);
    if (status != SGP_OK)
        sgp_join_server_refuse_all(&server, "a process ended while the group was meeting");
    sgp_join_server_fini(&server);
    if (status == SGP_OK) mine->rank = rank;
    return status;
}

/* SGP_ERR_AGAIN: this process is not to found. Otherwise what came of it. */
static sgp_status_t try_to_found(search_t *search, sgp_endpoint_t **all) {
    const sgp_join_options_t *options = search->options;
    const sgp_address_t *place = founding_place(search);
    int first = sgp_address_port(&search->places[0]);
    if (options->founder == SGP_JOIN_ROLE_CLIENT) return SGP_ERR_AGAIN;
    if (options->founder == SGP_JOIN_ROLE_ANY && !place_here(search)) return SGP_ERR_AGAIN;
    int made = -1;
    for (int i = 0; i < search->ports && made < 0; i++) {
        made = sgp_address_listen_at(place, first + i);
        if (made < 0 && errno != EADDRINUSE) break;
    }
    if (made < 0 && errno == EADDRINUSE && options->founder == SGP_JOIN_ROLE_ANY)
        return SGP_ERR_AGAIN; /* by the founder, it seems */
    if (made < 0 && search->ports > 1)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot listen on %s or the %d ports after it: %s",
                        options->at, search->ports - 1, strerror(errno));
    if (made < 0)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot listen on %s: %s", options->at, strerror(errno));
    if (search->listener >= 0) close(search->listener); /* a caller's, before */
    search->listener = made;
    return found(search, all);
}

/* ---- calling ---- */

static sgp_status_t prepare_to_call(search_t *search) {
    const sgp_join_options_t *options = search->options;
    sgp_address_t bound, published;
    bool reachable = options->key || options->insecure;
    for (int i = 0; i < search->count; i++)
        reachable = reachable || sgp_address_is_here(&search->places[i]);
    if (!reachable)
        return sgp_fail(SGP_ERR_INVALID,
                        "%s is another machine, and there is no key: give all nodes the same "
                        "--key-file, or --insecure",
                        options->at);
    if (search->listener >= 0) return SGP_OK;
    sgp_status_t status = sgp_address_listen(options->interface, options->listen_ports,
                                             &search->listener, &bound, &published);
    if (status != SGP_OK) return status;
    if (options->interface) sgp_address_text(&published, search->mine->address);
    else search->mine->port = sgp_address_port(&published);
    return SGP_OK;
}

/* One place, and wherever it sends us. */
static sgp_status_t call_place(search_t *search, const sgp_address_t *to, sgp_endpoint_t **all) {
    char address[SGP_ADDRESS_TEXT];
    sgp_status_t status = SGP_ERR_NOT_FOUND;
    sgp_join_client_t client = {.options = search->options,
                                .mine = search->mine,
                                .deadline = search->deadline,
                                .listener = search->listener,
                                .answer_ms = search->ports > 1 ? QUICK_ANSWER_MS : ANSWER_MS,
                                .instead = *to};
    for (int hop = 0; hop < MOST_HOPS && status == SGP_ERR_NOT_FOUND; hop++) {
        client.to = client.instead;
        status = sgp_join_client_run(&client, all);
    }
    if (status == SGP_OK) return status;
    sgp_address_text(&client.to, address);
    if (strcmp(address, search->options->at) == 0) memcpy(search->cause, client.cause, SGP_CAUSE);
    else snprintf(search->cause, sizeof search->cause, "%s: %s", address, client.cause);
    if (status == SGP_ERR_FORMAT && search->ports > 1) return SGP_ERR_AGAIN;
    return status;
}

/* SGP_ERR_AGAIN: nobody of the group is there yet. */
static sgp_status_t call_all(search_t *search, sgp_endpoint_t **all) {
    sgp_status_t status = prepare_to_call(search);
    if (status != SGP_OK) return status;
    for (int port = 0; port < search->ports; port++)
        for (int i = 0; i < search->count; i++) {
            sgp_address_t to = search->places[i];
            sgp_address_set_port(&to, sgp_address_port(&to) + port);
            if (sgp_deadline_left_ms(search->deadline) == 0) return SGP_ERR_AGAIN;
            status = call_place(search, &to, all);
            if (status != SGP_ERR_AGAIN) return status;
        }
    return SGP_ERR_AGAIN;
}

/* ---- the search ---- */

static sgp_status_t report(const search_t *search, sgp_status_t status) {
    char time[32];
    const char *at = search->options->at;
    if (status == SGP_ERR_AGAIN)
        return sgp_fail(SGP_ERR_TIMEOUT, "cannot join at %s within %s: %s", at,
                        sgp_deadline_text(search->deadline, time), search->cause);
    if (status == SGP_ERR_FORMAT)
        return sgp_fail(SGP_ERR_MISMATCH, "cannot join at %s: %s is not of this group: %s", at,
                        place_here(search) ? "whoever has the port" : "whoever answers there",
                        search->cause);
    if (status == SGP_ERR_REFUSED || status == SGP_ERR_TIMEOUT || status == SGP_ERR_NOT_FOUND)
        return sgp_fail(status == SGP_ERR_NOT_FOUND ? SGP_ERR_MISMATCH : status,
                        "cannot join at %s: %s", at, search->cause);
    return status;
}

/* Until somebody has founded: us, where the one who did has gone again. */
static sgp_status_t look_around(search_t *search, sgp_endpoint_t **all) {
    int pause = FIRST_PAUSE_MS;
    for (;;) {
        sgp_status_t status = try_to_found(search, all);
        if (status != SGP_ERR_AGAIN) return status; /* its own line is in the log */
        status = call_all(search, all);
        if (status != SGP_ERR_AGAIN) return report(search, status);
        int left = sgp_deadline_left_ms(search->deadline);
        if (left == 0) return report(search, status);
        poll(NULL, 0, pause < left ? pause : left);
        pause = pause < LONGEST_PAUSE_MS ? 2 * pause : LONGEST_PAUSE_MS;
    }
}

sgp_status_t sgp_exchange_join(const sgp_join_options_t *options, sgp_endpoint_t *mine,
                               const sgp_deadline_t *deadline, int *listener,
                               sgp_endpoint_t **all) {
    search_t search = {.options = options,
                       .mine = mine,
                       .deadline = deadline,
                       .ports = options->ports > 1 ? options->ports : 1,
                       .listener = -1};
    sgp_status_t status =
        sgp_address_resolve_all(options->at, MOST_ADDRESSES, search.places, &search.count);
    if (status != SGP_OK) return status;
    if (sgp_address_port(&search.places[0]) == 0)
        return sgp_fail(SGP_ERR_INVALID, "address %s: the port must be above 0", options->at);
    if (options->interface)
        status = sgp_address_of_interface(options->interface, &search.interface);
    if (status == SGP_OK) status = look_around(&search, all);
    if (status == SGP_OK) *listener = search.listener;
    else if (search.listener >= 0) close(search.listener);
    return status;
}
