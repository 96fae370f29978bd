/* SPDX-License-Identifier: Apache-2.0 */
/* What a request asks for, and what its headers say: pure functions over foreign text, which never fail but say no. */
#ifndef SGP_STATUS_SERVER_HTTP_REQUEST_H
#define SGP_STATUS_SERVER_HTTP_REQUEST_H

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum http_target {
    HTTP_PAGE,    /* / */
    HTTP_MEMBERS, /* /members: the table of all members */
    HTTP_JSON,    /* /status.json */
    HTTP_METRICS, /* /metrics */
    HTTP_EVENTS,  /* /events */
    HTTP_FLIGHT,  /* /flight */
    HTTP_NOTHING
} http_target_t;

http_target_t http_target(const char *path);

enum { HTTP_NAME = 256 };

/* The name or address of "NAME", "NAME:PORT", "[ADDRESS]" or "[ADDRESS]:PORT", without brackets. false: malformed. */
bool http_host(const char *header, char name[HTTP_NAME]);

/* How a server may be named in the header Host. */
typedef struct http_names {
    char given[HTTP_NAME];   /* as its user named it; "": by a port alone */
    char machine[HTTP_NAME]; /* the machine's name, with its domain if it has one */
} http_names_t;

/* Whether the header Host names the server: localhost, a loopback address, one of its names, the first part of the
 * machine's, or the address at which this connection arrived. Others could be names that a foreign page has directed to
 * this server (DNS rebinding). */
bool http_host_allowed(const char *header, const http_names_t *names, const sgp_address_t *local);

/* Whether the header Origin (NULL: there is none) names the same place as the header Host: a foreign page cannot make
 * it so. */
bool http_same_origin(const char *origin, const char *host);

enum { HTTP_PASSWORD = 1024 };

/* The password of "Basic ...", of any user. Returns its bytes, at most HTTP_PASSWORD; -1: malformed, or another scheme. */
int http_password(const char *authorization, char password[HTTP_PASSWORD]);

/* Whether the header Accept (NULL: there is none) asks for OpenMetrics. */
bool http_wants_open_metrics(const char *accept);

#endif
