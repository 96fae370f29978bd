/* SPDX-License-Identifier: Apache-2.0 */
/* Which process serves, which call, and for how long they try. */
#include "group/join/exchange_address.h"

#include "base/logging.h"
#include "group/join/join_client.h"

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
    ANSWER_MS = 10000,      /* where one port is tried */
    QUICK_ANSWER_MS = 2000, /* where there are others to try */
    MOST_CALLS = 4,         /* by redirects */
};

typedef struct search {
    const sgp_exchange_t *exchange;
    const char *at; /* HOST:PORT */
    sgp_endpoint_t *mine;
    sgp_address_t addresses[MOST_ADDRESSES]; /* (count) of HOST */
    int count;
    int ports;
    sgp_address_t interface; /* as asked for; length 0: none */
    int listener;            /* -1: none yet */
    char cause[SGP_CAUSE + SGP_ADDRESS_TEXT + 2];
} search_t;

/* The address of HOST that belongs to this machine; NULL: none. */
static const sgp_address_t *local_address(const search_t *search) {
    for (int i = 0; i < search->count; i++)
        if (sgp_address_is_here(&search->addresses[i])) return &search->addresses[i];
    return NULL;
}

/* ---- serving ---- */

/* A host's own name that resolves to loopback here, as many a hosts file has it: the others resolve
 * it to another address of this machine. */
static bool is_loopback_alias(const search_t *search, const sgp_address_t *at) {
    bool numeric = *search->at == '[' || search->at[strspn(search->at, "0123456789.")] == ':';
    return sgp_address_is_loopback(at) && !numeric && strncmp(search->at, "localhost", 9) != 0;
}

/* The address to listen on: that of HOST, or NULL, everywhere, where the others use another one. */
static const sgp_address_t *server_address(const search_t *search) {
    const sgp_address_t *here = local_address(search);
    if (!here || is_loopback_alias(search, here)) return NULL;
    bool other = search->interface.length && !sgp_address_same_host(here, &search->interface);
    return other ? NULL : here;
}

static sgp_status_t out_of_time(sgp_join_server_t *server, const sgp_deadline_t *deadline) {
    char why[SGP_VERDICT_BYTES], time[32];
    snprintf(why, sizeof why, "%d of %d processes came to %s within %s",
             sgp_join_server_admitted(server) + 1, server->mine->size, server->address,
             sgp_deadline_text(deadline, time));
    sgp_join_server_refuse_all(server, why);
    return sgp_fail(SGP_ERR_TIMEOUT, "%s", why);
}

/* Serves clients until all are admitted. */
static sgp_status_t admit_all(sgp_join_server_t *server, const sgp_deadline_t *deadline) {
    struct pollfd *sockets = NULL;
    int room = 0;
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK && sgp_join_server_admitted(server) + 1 < server->mine->size) {
        int left = sgp_deadline_left_ms(deadline), count = sgp_join_server_sockets(server);
        if (left == 0) status = out_of_time(server, deadline);
        struct pollfd *grown =
            count > room ? realloc(sockets, (size_t)count * sizeof *sockets) : sockets;
        if (!grown) status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to wait for %d sockets", count);
        if (status != SGP_OK) break;
        sockets = grown;
        room = count > room ? count : room;
        sgp_join_server_watch(server, sockets);
        if (poll(sockets, (nfds_t)count, left < TICK_MS ? left : TICK_MS) >= 0)
            status = sgp_join_server_serve(server, sockets);
    }
    free(sockets);
    return status;
}

/* Our endpoint's address: that of the interface that was asked for, or the listener's. */
static sgp_status_t set_address(const search_t *search, sgp_endpoint_t *mine) {
    sgp_address_t advertised;
    sgp_status_t status = sgp_address_advertised(search->listener, &advertised);
    if (status != SGP_OK) return status;
    if (search->interface.length) {
        int port = sgp_address_port(&advertised);
        advertised = search->interface;
        sgp_address_set_port(&advertised, port);
    }
    sgp_address_text(&advertised, mine->address);
    mine->port = 0;
    return SGP_OK;
}

static sgp_status_t serve(search_t *search, sgp_endpoint_t **all) {
    sgp_join_server_t server;
    sgp_endpoint_t *mine = search->mine;
    sgp_status_t status = set_address(search, mine);
    if (status != SGP_OK) return status;
    int rank = mine->rank;
    sgp_join_server_init(&server, search->listener, search->exchange, mine, mine->address, false);
    sgp_log(SGP_LOG_INFO, "join server at %s: waiting for %d more", server.address, mine->size - 1);
    status = admit_all(&server, search->exchange->deadline);
    if (status == SGP_OK) status = sgp_join_server_complete(&server, &rank, all);
    if (status != SGP_OK)
        sgp_join_server_refuse_all(&server, "a process ended while the group was completed");
    sgp_join_server_fini(&server);
    if (status == SGP_OK) mine->rank = rank;
    return status;
}

/* SGP_ERR_AGAIN: another process is to serve. Otherwise the result of serving. */
static sgp_status_t try_to_serve(search_t *search, sgp_endpoint_t **all) {
    const sgp_address_t *on = server_address(search);
    sgp_join_role_t role = search->exchange->placement->role;
    int first = sgp_address_port(&search->addresses[0]), made = -1;
    if (role == SGP_JOIN_ROLE_CLIENT) return SGP_ERR_AGAIN;
    if (role == SGP_JOIN_ROLE_ANY && !local_address(search)) return SGP_ERR_AGAIN;
    for (int i = 0; i < search->ports && made < 0; i++) {
        made = sgp_address_listen_at(on, first + i);
        if (made < 0 && errno != EADDRINUSE) break;
    }
    if (made < 0 && errno == EADDRINUSE && role == SGP_JOIN_ROLE_ANY)
        return SGP_ERR_AGAIN; /* by the server, presumably */
    if (made < 0 && search->ports > 1)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot listen on %s or the %d ports after it: %s",
                        search->at, search->ports - 1, strerror(errno));
    if (made < 0)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot listen on %s: %s", search->at, strerror(errno));
    if (search->listener >= 0) close(search->listener); /* a client's, before */
    search->listener = made;
    return serve(search, all);
}

/* ---- calling ---- */

static sgp_status_t check_key(const search_t *search) {
    if (search->exchange->key || search->exchange->insecure || local_address(search)) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "%s is another machine, and there is no key: give all nodes the same "
                    "--key-file, or --insecure",
                    search->at);
}

/* A client without an interface states its port alone: the server knows the host that it calls
 * from. */
static sgp_status_t listen_as_client(search_t *search) {
    const sgp_exchange_t *exchange = search->exchange;
    sgp_address_t bound, advertised;
    if (search->listener >= 0) return SGP_OK;
    sgp_status_t status = sgp_address_listen(exchange->interface, exchange->ports,
                                             &search->listener, &bound, &advertised);
    if (status != SGP_OK) return status;
    if (exchange->interface) sgp_address_text(&advertised, search->mine->address);
    else search->mine->port = sgp_address_port(&advertised);
    return SGP_OK;
}

/* Calls one address, and those that it redirects to. */
static sgp_status_t call(search_t *search, const sgp_address_t *to, sgp_endpoint_t **all) {
    char address[SGP_ADDRESS_TEXT];
    sgp_status_t status = SGP_ERR_NOT_FOUND;
    sgp_join_client_t client = {.exchange = search->exchange,
                                .mine = search->mine,
                                .listener = search->listener,
                                .answer_ms = search->ports > 1 ? QUICK_ANSWER_MS : ANSWER_MS,
                                .redirect = *to};
    for (int i = 0; i < MOST_CALLS && status == SGP_ERR_NOT_FOUND; i++) {
        client.to = client.redirect;
        status = sgp_join_client_run(&client, all);
    }
    if (status == SGP_OK) return status;
    sgp_address_text(&client.to, address);
    if (strcmp(address, search->at) == 0) memcpy(search->cause, client.cause, SGP_CAUSE);
    else snprintf(search->cause, sizeof search->cause, "%s: %s", address, client.cause);
    if (status == SGP_ERR_FORMAT && search->ports > 1) return SGP_ERR_AGAIN;
    return status;
}

/* SGP_ERR_AGAIN: no member of the group answers yet. */
static sgp_status_t call_all(search_t *search, sgp_endpoint_t **all) {
    sgp_status_t status = check_key(search);
    if (status == SGP_OK) status = listen_as_client(search);
    if (status != SGP_OK) return status;
    for (int port = 0; port < search->ports; port++)
        for (int i = 0; i < search->count; i++) {
            sgp_address_t to = search->addresses[i];
            sgp_address_set_port(&to, sgp_address_port(&to) + port);
            if (sgp_deadline_left_ms(search->exchange->deadline) == 0) return SGP_ERR_AGAIN;
            status = call(search, &to, all);
            if (status != SGP_ERR_AGAIN) return status;
        }
    return SGP_ERR_AGAIN;
}

/* ---- the search ---- */

/* Logs a failure of calling that has no line yet. */
static sgp_status_t report(const search_t *search, sgp_status_t status) {
    char time[32];
    switch (status) {
    case SGP_ERR_AGAIN:
        return sgp_fail(SGP_ERR_TIMEOUT, "cannot join at %s within %s: %s", search->at,
                        sgp_deadline_text(search->exchange->deadline, time), search->cause);
    case SGP_ERR_FORMAT:
        return sgp_fail(SGP_ERR_MISMATCH,
                        "cannot join at %s: the process at that port is not of this group: %s",
                        search->at, search->cause);
    case SGP_ERR_NOT_FOUND: /* too many redirects */
        return sgp_fail(SGP_ERR_MISMATCH, "cannot join at %s: %s", search->at, search->cause);
    case SGP_ERR_REFUSED:
    case SGP_ERR_TIMEOUT:
        return sgp_fail(status, "cannot join at %s: %s", search->at, search->cause);
    default:
        return status;
    }
}

/* Until a process serves: this one, where it can, also after an earlier server has ended. */
static sgp_status_t serve_or_call(search_t *search, sgp_endpoint_t **all) {
    int pause = FIRST_PAUSE_MS;
    for (;;) {
        sgp_status_t status = try_to_serve(search, all);
        if (status != SGP_ERR_AGAIN) return status; /* already logged */
        status = call_all(search, all);
        if (status != SGP_ERR_AGAIN) return report(search, status);
        int left = sgp_deadline_left_ms(search->exchange->deadline);
        if (left == 0) return report(search, status);
        poll(NULL, 0, pause < left ? pause : left);
        pause = pause < LONGEST_PAUSE_MS ? 2 * pause : LONGEST_PAUSE_MS;
    }
}

sgp_status_t sgp_exchange_address(const sgp_exchange_t *exchange, sgp_endpoint_t *mine,
                                  int *listener, sgp_endpoint_t **all) {
    const sgp_placement_t *placement = exchange->placement;
    search_t search = {.exchange = exchange,
                       .at = placement->at,
                       .mine = mine,
                       .ports = placement->ports > 1 ? placement->ports : 1,
                       .listener = -1};
    sgp_status_t status =
        sgp_address_resolve(search.at, MOST_ADDRESSES, search.addresses, &search.count);
    if (status != SGP_OK) return status;
    if (sgp_address_port(&search.addresses[0]) == 0)
        return sgp_fail(SGP_ERR_INVALID, "address %s: the port must be above 0", search.at);
    if (exchange->interface)
        status = sgp_address_of_interface(exchange->interface, &search.interface);
    if (status == SGP_OK) status = serve_or_call(&search, all);
    if (status == SGP_OK) *listener = search.listener;
    else if (search.listener >= 0) close(search.listener);
    return status;
}
