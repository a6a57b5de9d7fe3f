// @ts-check
/** node-auth0 of the fourth series: Authentication and Management API. */
import { AuthenticationClient, ManagementClient, UserInfoClient } from 'auth0-v4';
import { check, refused, reporter, settings, sleep } from './calls.mjs';

const { domain, run, password, passwordHash, realm, legacyUser, client, manager } = settings;
const call = reporter('auth0-v4');
const api = new AuthenticationClient({ domain, ...client });
const scope = 'openid profile email offline_access';
const newUser = `${run}-v4@example.com`;
const login = (/** @type {string} */ secret, username = legacyUser) =>
  api.oauth.passwordGrant({ username, password: secret, realm, scope });

const tokens = await call('login, password-realm (verifies the id_token itself)', async () => {
  const { data } = await login(password);
  check(data.id_token && data.refresh_token, data);
  return data;
});
await call('login, wrong password', async () => {
  const error = await refused(login('wrong'));
  check(error.statusCode === 403 && error.error === 'invalid_grant', error);
  check(error.error_description === 'Wrong email or password.', error);
});
await call('userinfo', async () => {
  const { data } = await new UserInfoClient({ domain }).getUserInfo(tokens.access_token);
  check(data.email === legacyUser, data);
});
await call('database.signUp', async () => {
  const { data } = await api.database.signUp({
    email: newUser,
    password,
    connection: realm,
    user_metadata: { plan: 'silver' },
  });
  check(data.id && data.email === newUser, data);
});
await call('database.signUp, user exists', async () => {
  const error = await refused(api.database.signUp({ email: newUser, password, connection: realm }));
  check(error.statusCode === 400, error);
});
await call('database.changePassword', async () => {
  const { data } = await api.database.changePassword({ email: newUser, connection: realm });
  check(/just sent you an email/.test(String(data)), data);
});
const renewed = await call('oauth.refreshTokenGrant', async () => {
  const { data } = await api.oauth.refreshTokenGrant({ refresh_token: tokens.refresh_token });
  check(data.refresh_token !== tokens.refresh_token, data);
  return data;
});
await call('oauth.revokeRefreshToken', async () => {
  await api.oauth.revokeRefreshToken({ token: renewed.refresh_token });
  const error = await refused(
    api.oauth.refreshTokenGrant({ refresh_token: renewed.refresh_token }),
  );
  check(error.error === 'invalid_grant', error);
});
await call('oauth.clientCredentialsGrant', async () => {
  const own = new AuthenticationClient({ domain, ...manager });
  const { data } = await own.oauth.clientCredentialsGrant({
    audience: `https://${domain}/api/v2/`,
  });
  check(data.access_token, data);
});

const tenant = new ManagementClient({ domain, ...manager });
const email = `${run}-managed@example.com`;
const connection = await call('connections.create', async () => {
  const { data } = await tenant.connections.create({
    name: `${run}-v4`,
    strategy: 'auth0',
    options: { passwordPolicy: 'good', customScripts: { login: 'function login() {}' } },
  });
  return data;
});
await call('connections.getAll, both pagination styles', async () => {
  const { data } = await tenant.connections.getAll({ page: 0, per_page: 1, include_totals: true });
  check(data.connections.length === 1 && data.total >= 2, data);
  const first = (await tenant.connections.getAll({ take: 1 })).data;
  check(/** @type {any} */ (first).next, first);
});
await call('connections.update replaces options', async () => {
  const { data } = await tenant.connections.update(
    { id: connection.id },
    { options: { import_mode: true } },
  );
  check(data.options.import_mode && !data.options.passwordPolicy, data.options);
});
const user = await call('users.create', async () => {
  const { data } = await tenant.users.create({ connection: realm, email, password });
  return data;
});
await call('users.create, user exists: 409', async () => {
  const error = await refused(tenant.users.create({ connection: realm, email, password }));
  check(error.statusCode === 409 && error.errorCode === 'auth0_idp_error', error);
});
await call('users.get, unknown: 404', async () => {
  const error = await refused(tenant.users.get({ id: 'auth0|nobody' }));
  check(error.statusCode === 404 && error.errorCode === 'inexistent_user', error);
});
await call('users.get, users.update', async () => {
  const id = user.user_id;
  await tenant.users.update({ id }, { app_metadata: { role: 'clerk' }, nickname: 'Ada' });
  const { data } = await tenant.users.get({ id });
  check(data.app_metadata.role === 'clerk' && data.nickname === 'Ada', data);
});
await call('users.getAll with paging and q', async () => {
  const { data } = await tenant.users.getAll({
    page: 0,
    per_page: 1,
    include_totals: true,
    q: `email:${run}*`,
    search_engine: 'v3',
  });
  check(data.total >= 3 && data.users.length === 1, data);
});
await call('usersByEmail.getByEmail', async () => {
  const { data } = await tenant.usersByEmail.getByEmail({ email });
  check(data.length === 1 && data[0].user_id === user.user_id, data);
});
await call('users.getLogs', async () => {
  check(Array.isArray((await tenant.users.getLogs({ id: user.user_id })).data), 'no list');
});
await call('userBlocks.get', async () => {
  const { data } = await tenant.userBlocks.get({ id: user.user_id });
  check(data.blocked_for.length === 0, data);
});
await call('tickets.changePassword, tickets.verifyEmail', async () => {
  const user_id = user.user_id;
  check((await tenant.tickets.changePassword({ user_id })).data.ticket, 'no ticket');
  check((await tenant.tickets.verifyEmail({ user_id })).data.ticket, 'no ticket');
});
await call('jobs.verifyEmail, jobs.get', async () => {
  const { data } = await tenant.jobs.verifyEmail({ user_id: user.user_id });
  check((await tenant.jobs.get({ id: data.id })).data.type === 'verification_email', data);
});
const bulk = {
  email: `${run}-bulk@example.com`,
  email_verified: true,
  password_hash: passwordHash,
};
await call('jobs.importUsers, jobs.getErrors', async () => {
  const users = new Blob([JSON.stringify([{ email }, bulk])]);
  const connection_id = (await tenant.connections.getAll({ name: realm })).data[0].id;
  const { data } = await tenant.jobs.importUsers({ users, connection_id });
  let job = /** @type {any} */ (data);
  for (let tries = 0; job.status !== 'completed' && tries < 50; tries += 1) {
    await sleep(200);
    job = (await tenant.jobs.get({ id: data.id })).data;
  }
  check(job.summary?.failed === 1 && job.summary?.inserted === 1, job);
  const errors = (await tenant.jobs.getErrors({ id: data.id })).data;
  check(/** @type {any} */ (errors)[0].errors[0].code === 'DUPLICATED_USER', errors);
});
await call('login of a user imported with password_hash', async () => {
  check((await login(password, bulk.email)).data.id_token, 'no token');
});
await call('logs.getAll, logs.get', async () => {
  const { data } = await tenant.logs.getAll({ per_page: 2, page: 0, include_totals: true });
  const line = data.logs[0];
  check((await tenant.logs.get({ id: line.log_id })).data.type === line.type, line);
});
await call('clients: create, update, get, delete', async () => {
  const { data } = await tenant.clients.create({ name: `${run} v4` });
  const { client_id } = data;
  await tenant.clients.update({ client_id }, { callbacks: ['https://app.example/callback'] });
  check((await tenant.clients.get({ client_id })).data.callbacks.length === 1, data);
  await tenant.clients.delete({ client_id });
});
await call('users.delete', () => tenant.users.delete({ id: user.user_id }));
await call('connections.delete', () => tenant.connections.delete({ id: connection.id }));
