/*
 * report.c - what the operator is told: lines of the log, and a sentence for the service manager.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator.h"
#include "cpu.h"
#include "log.h"
#include "names.h"
#include "requests.h"

void log_line(const struct coordinator *c, const char *format, ...)
{
	struct log_entry entry;
	char text[ERR_TEXT + 256];
	va_list ap;
	(void)c;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_begin(&entry, LOG_WARNING, "notice");
	log_text(&entry, "msg", text);
	log_end(&entry);
}

void report_damage(struct coordinator *c, const char *file, const char *problem)
{
	struct log_entry entry;
	c->figures.damage++;
	log_begin(&entry, LOG_ERROR, "damage");
	log_text(&entry, "file", file);
	log_text(&entry, "msg", problem);
	log_end(&entry);
}

void report_resize(const struct peer *peer)
{
	const struct dispatch *d = &peer->coordinator->dispatch;
	struct log_entry entry;
	log_begin(&entry, LOG_INFO, "resize");
	log_number(&entry, "workers", d->workers);
	log_number(&entry, "min", d->setup.min);
	log_seconds(&entry, "idle_timeout", d->setup.idle_ms / 1e3);
	log_number(&entry, "pid", (uint64_t)peer->pid);
	log_end(&entry);
}

/* A checkout changes nothing, and there may be thousands a second. */
static enum log_level level_of(enum wire_type request, int result)
{
	if (result)
		return result == -ECANCELED || result == -EEXIST ? LOG_WARNING : LOG_ERROR;
	return request == WIRE_CHECKOUT || request == WIRE_MODULE ? LOG_DEBUG : LOG_INFO;
}

static void put_report(struct log_entry *entry, const struct varve_report *report)
{
	log_number(entry, "modules", report->modules);
	log_number(entry, "bytes_read", report->bytes_read);
	log_number(entry, "bytes_written", report->bytes_written);
	log_number(entry, "deltas", report->deltas_applied);
	log_number(entry, "workers", report->workers);
}

static void put_what(
    struct log_entry *entry, const struct peer *peer, const struct op *op, int result, const char *text)
{
	struct varve_id commit = peer->target;
	if (peer->request == WIRE_COMMIT && !result)
		op_commit_id(op, &commit);
	if (peer->has_target || (peer->request == WIRE_COMMIT && !result))
		log_id(entry, "commit", &commit);
	if (peer->request == WIRE_CHECKOUT)
		log_id(entry, "module", op_checkout_module(op));
	if (peer->dry)
		log_text(entry, "dry_run", "true");
	if (result) {
		log_text(entry, "error", strerrorname_np(-result) ? strerrorname_np(-result) : "unknown");
		log_text(entry, "msg", text);
	} else if (peer->request == WIRE_RESTORE) {
		put_report(entry, op_restore_report(op));
	} else if (peer->request == WIRE_VERIFY) {
		log_number(entry, "images", op_verify_report(op)->images);
		log_number(entry, "damaged", op_verify_report(op)->damaged);
	}
}

void report_request(struct peer *peer, const struct op *op, int result, const char *text)
{
	const char *event = request_name(peer->request);
	uint64_t ns = clock_now() - peer->begun_ns;
	struct log_entry entry;
	if (!peer->dry)
		figures_note(&peer->coordinator->figures, peer->request, ns, result);
	if (!event)
		return;
	log_begin(&entry, level_of(peer->request, result), event);
	if (entry.wanted) {
		put_what(&entry, peer, op, result, text);
		log_seconds(&entry, "seconds", (double)ns / 1e9);
		log_number(&entry, "pid", (uint64_t)peer->pid);
	}
	log_end(&entry);
}

/* The restore that is under way, if there is one: that is what somebody who looks wants to know. */
static const struct peer *restoring(const struct coordinator *c)
{
	for (const struct peer *peer = c->peers; peer; peer = peer->next)
		if (request_runs(peer) && peer->request == WIRE_RESTORE)
			return peer;
	return NULL;
}

void report_status(struct coordinator *c)
{
	char text[160], id[VARVE_ID_TEXT + 1];
	if (!notify_status_due(&c->notify))
		return;
	const struct peer *peer = restoring(c);
	if (peer) {
		const struct varve_report *report = op_restore_report(peer->op);
		id_to_text(&report->commit, id);
		snprintf(text, sizeof(text), "Restoring %.12s: %llu of %llu modules", id,
		    (unsigned long long)report->modules, (unsigned long long)report->modules_total);
	} else {
		unsigned long long commits = c->store.history.count;
		snprintf(text, sizeof(text),
		    "%s %llu commit%s to %u client%s; %llu restored, %llu made since the start",
		    c->settling ? "Mending, then serving" : "Serving", commits, commits == 1 ? "" : "s", c->peers_count,
		    c->peers_count == 1 ? "" : "s", (unsigned long long)c->store.restores,
		    (unsigned long long)c->store.commits);
	}
	notify_status(&c->notify, text);
}

void report_started(const struct coordinator *c)
{
	struct log_entry entry;
	log_begin(&entry, LOG_INFO, "start");
	log_text(&entry, "store", c->options->path);
	log_number(&entry, "commits", c->store.history.count);
	log_number(&entry, "workers", c->dispatch.workers);
	log_text(&entry, "version", VARVE_VERSION_STRING);
	log_end(&entry);
}

void report_ended(void)
{
	struct log_entry entry;
	log_begin(&entry, LOG_INFO, "stop");
	log_end(&entry);
}
