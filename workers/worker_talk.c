/*
 * worker_talk.c - packets, and answers to those that are questions.
 */
#include "worker_talk.h"

#include <errno.h>
#include <unistd.h>

#include "control.h"
#include "sock.h"

static void begin_packet(struct talk *talk, enum control_type type)
{
	buf_clear(&talk->packet);
	buf_u8(&talk->packet, (uint8_t)type);
}

/** begin_about() - a packet about the job under way. */
static void begin_about(struct talk *talk, enum control_type type, struct ticket job)
{
	begin_packet(talk, type);
	buf_u32(&talk->packet, job.slot);
	buf_u32(&talk->packet, job.generation);
}

/** say() - send what is in the packet. The coordinator's end is this process's end. */
static void say(struct talk *talk)
{
	int err;

	if (talk->packet.bad)
		_exit(1);
	do
		err = sock_send(talk->control, talk->packet.data, talk->packet.size, -1);
	while (err == -EINTR);
	if (err < 0)
		_exit(1);
}

/** ask() - send the question that is in the packet, and wait for the answer: its result, with the sentence. */
static int ask(struct talk *talk, int *fd)
{
	uint8_t answer[16 + CONTROL_STRING_MAX];
	char sentence[CONTROL_STRING_MAX];
	ssize_t size;

	*fd = -1;
	say(talk);
	do
		size = sock_recv(talk->control, answer, sizeof(answer), fd);
	while (size == -EINTR);
	if (size <= 0)
		_exit(1);
	struct cursor cursor = cursor_over(answer, (size_t)size);
	uint8_t type = cursor_u8(&cursor);
	int32_t result = (int32_t)cursor_u32(&cursor);
	control_string(&cursor, sentence);
	if (cursor.bad || type != CONTROL_ANSWER)
		_exit(1);
	return result < 0 ? fail_with(-result, sentence) : 0;
}

void talk_hello(struct talk *talk, const struct reader *reader, const struct sandbox_result *sandbox)
{
	begin_packet(talk, CONTROL_HELLO);
	control_put_string(&talk->packet, reader_name(reader));
	control_put_string(&talk->packet, reader_reason(reader));
	control_put_string(&talk->packet, sandbox->state);
	control_put_string(&talk->packet, sandbox->reason);
	say(talk);
}

void talk_failed(struct talk *talk, const char *sentence)
{
	begin_packet(talk, CONTROL_FAILED);
	control_put_string(&talk->packet, sentence);
	say(talk);
}

void talk_found(struct talk *talk, struct ticket job, bool damage, const char *file, const char *problem)
{
	begin_about(talk, CONTROL_FOUND, job);
	buf_u8(&talk->packet, damage);
	control_put_string(&talk->packet, file);
	control_put_string(&talk->packet, problem);
	say(talk);
}

int talk_want_fd(struct talk *talk, struct ticket job)
{
	int fd;

	begin_about(talk, CONTROL_WANT_FD, job);
	int err = ask(talk, &fd);
	if (err == 0 && fd >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err ? err : fail(EPROTO, "the coordinator has sent no descriptor; try again");
}

int talk_sight(struct talk *talk, struct ticket job, const struct sight_steps *steps, bool wait)
{
	int fd;

	begin_about(talk, CONTROL_SIGHT, job);
	buf_u8(&talk->packet, wait);
	buf_u8(&talk->packet, (uint8_t)steps->count);
	for (uint32_t i = 0; i < steps->count; i++) {
		buf_u8(&talk->packet, (uint8_t)steps->list[i].step);
		buf_u32(&talk->packet, steps->list[i].entry);
	}
	if (!wait) {
		say(talk);
		return 0;
	}
	int err = ask(talk, &fd);
	if (fd >= 0)
		close(fd);
	return err;
}
