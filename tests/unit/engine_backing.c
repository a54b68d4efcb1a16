/*
 * engine_backing.c - backing files that a worker may not open by itself: it asks for each once, and never writes to one
 * that has another name by now.
 */
#include "chain_fixture.h"
#include "backing.h"
#include "job_kinds.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "warm.h"

TestSuite(backing, .init = chains_open, .fini = chains_close, .timeout = 60);

static struct chain *chain;
static unsigned asked;

static void step_image(uint8_t *image, uint64_t *size, uint32_t k)
{
	*size = 20000;
	image[k * 4096] = (uint8_t)(k + 1);
}

static const char *path(void)
{
	return chain_path(chain, NULL);
}

/* Who asks may not open the file, as a worker may not whose rules do not know it; who is asked may. */
static void may_open(bool may)
{
	chmod(path(), may ? 0600 : 0);
	if (getuid() == 0)
		cr_assert_eq(seteuid(may ? 0 : 65534), 0);
}

/* The coordinator's side. */
static int give(void *arg, const struct job *job)
{
	struct job_context own = chain_context;
	(void)arg;
	asked++;
	own.take_backing = NULL;
	may_open(true);
	int fd = backing_give(&own, job);
	may_open(false);
	return fd;
}

static void begin(void)
{
	chain = chain_history(1, 3, 20000, step_image);
	chain_back(chain, chain->images[2], chain->sizes[2]);
	cr_assert_eq(chmod(fixture_path, 0711), 0);
	chain_context.take_backing = give;
	asked = 0;
}

/* Opens it for a job. Returns its inode. */
static ino_t open_it(void)
{
	struct job job = {.kind = JOB_RESTORE, .module = chain->module, .target = 1};
	struct place place;
	struct stat st;
	may_open(false);
	int fd = backing_for_job(&chain_context, &job, &place);
	may_open(true);
	cr_assert_geq(fd, 0, "%s", err_text());
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(write(fd, "", 1), 1, "it can be written to");
	close(fd);
	return st.st_ino;
}

/* Asking costs a round trip, which is as much as a small restore. */
Test(backing, a_file_is_asked_for_once)
{
	begin();
	ino_t first = open_it();
	for (int i = 0; i < 3; i++)
		cr_expect_eq(open_it(), first);
	cr_expect_eq(asked, 1);
	/* What is kept of a module goes all at once. */
	warm_drop(&chain_context, chain->module);
	cr_expect_eq(open_it(), first);
	cr_expect_eq(asked, 2);
}

/* Whoever moved a file away would find it written to there, and the store without the module. */
Test(backing, a_file_that_was_moved_away_is_not_written_to)
{
	begin();
	ino_t first = open_it();
	struct place place;
	place_backing(chain_context.base, chain_context.catalog, chain->module, &place);
	cr_assert_eq(file_rename(place.dir, place.name, place.dir, "elsewhere"), 0);
	chain_back(chain, chain->images[1], chain->sizes[1]);
	ino_t second = open_it();
	cr_expect_neq(second, first);
	cr_expect_eq(asked, 2);
	cr_assert_eq(file_unlink(place.dir, place.name), 0);
	open_it();
	cr_expect_eq(asked, 3);
	cr_expect(file_exists(place.dir, place.name), "it was made");
}
