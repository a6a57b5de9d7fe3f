// @ts-check
/** node-auth0 of the seventh series: the Management API (its Authentication API moved elsewhere). */
import { ManagementClient } from 'auth0-v7';
import { check, refused, reporter, settings, sleep } from './calls.mjs';

const { domain, run, password, passwordHash, realm, manager } = settings;
const call = reporter('auth0-v7');
const tenant = new ManagementClient({ domain, ...manager });
const email = `${run}-managed@example.com`;

/** @param {AsyncIterable<any>} pages */
async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

const connection = await call('connections.create', () =>
  tenant.connections.create({
    name: `${run}-v7`,
    strategy: 'auth0',
    options: { passwordPolicy: 'good' },
  }),
);
await call('connections.list, all pages', async () => {
  const names = (await all(await tenant.connections.list({ take: 1 }))).map((one) => one.name);
  check(names.includes(realm) && names.includes(`${run}-v7`), names);
});
await call('connections.update, connections.get', async () => {
  await tenant.connections.update(connection.id, { options: { disable_signup: true } });
  const seen = await tenant.connections.get(connection.id);
  check(seen.options?.disable_signup, seen);
});
await call('connections.clients.update, connections.clients.get', async () => {
  const made = await tenant.clients.create({ name: `${run} enabled` });
  const client_id = /** @type {string} */ (made.client_id);
  await tenant.connections.clients.update(connection.id, [{ client_id, status: true }]);
  const found = await all(await tenant.connections.clients.get(connection.id));
  check(found.map((one) => one.client_id).includes(client_id), found);
  await tenant.clients.delete(client_id);
});
const user = await call('users.create', () =>
  tenant.users.create({ connection: realm, email, password, given_name: 'Ada' }),
);
await call('users.create, user exists: 409', async () => {
  const error = await refused(tenant.users.create({ connection: realm, email, password }));
  check(error.statusCode === 409, error);
});
await call('users.get, unknown: 404', async () => {
  const error = await refused(tenant.users.get('auth0|nobody'));
  check(error.statusCode === 404, error);
});
await call('users.get, users.update', async () => {
  await tenant.users.update(user.user_id, { user_metadata: { plan: 'gold' } });
  const seen = await tenant.users.get(user.user_id);
  check(seen.user_metadata?.plan === 'gold' && seen.given_name === 'Ada', seen);
});
await call('users.list, all pages, with q', async () => {
  await tenant.users.create({ connection: realm, email: `${run}-second@example.com`, password });
  const found = await all(await tenant.users.list({ per_page: 1, q: `email:${run}*` }));
  check(found.length >= 2, found);
});
await call('users.listUsersByEmail', async () => {
  const found = await tenant.users.listUsersByEmail({ email });
  check(found.length === 1, found);
});
await call('users.logs.list', async () => {
  await all(await tenant.users.logs.list(user.user_id, { per_page: 5 }));
});
await call('userBlocks.list', async () => {
  check((await tenant.userBlocks.list(user.user_id)).blocked_for?.length === 0, 'blocked');
});
await call('tickets.changePassword, tickets.verifyEmail', async () => {
  const { user_id } = user;
  check((await tenant.tickets.changePassword({ user_id })).ticket, 'no ticket');
  check((await tenant.tickets.verifyEmail({ user_id })).ticket, 'no ticket');
});
await call('jobs.verificationEmail.create, jobs.get', async () => {
  const job = await tenant.jobs.verificationEmail.create({ user_id: user.user_id });
  check((await tenant.jobs.get(job.id)).type === 'verification_email', job);
});
await call('jobs.usersImports.create, jobs.errors.get', async () => {
  const bulk = { email: `${run}-bulk@example.com`, password_hash: passwordHash };
  const users = new Blob([JSON.stringify([{ email }, bulk])]);
  const [{ id: connection_id }] = await all(await tenant.connections.list({ name: realm }));
  const job = await tenant.jobs.usersImports.create({ users, connection_id });
  let seen = await tenant.jobs.get(job.id);
  for (let tries = 0; seen.status !== 'completed' && tries < 50; tries += 1) {
    await sleep(200);
    seen = await tenant.jobs.get(job.id);
  }
  const { summary } = /** @type {any} */ (seen);
  check(summary?.failed === 1 && summary?.inserted === 1, seen);
  const errors = /** @type {any} */ (await tenant.jobs.errors.get(job.id));
  check(errors[0].errors[0].code === 'DUPLICATED_USER', errors);
});
await call('logs.list, logs.get', async () => {
  const page = await tenant.logs.list({ per_page: 2 });
  const line = page.data[0];
  check((await tenant.logs.get(line.log_id)).type === line.type, line);
});
await call('users.delete', () => tenant.users.delete(user.user_id));
await call('connections.delete', () => tenant.connections.delete(connection.id));
