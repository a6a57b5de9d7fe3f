// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace']) console[level](level);
  console.dir({});
  console.table([1]);
  console.group('g');
  console.groupEnd();
  console.time('t');
  console.timeEnd('t');
  console.count();
  console.assert(false, 'asserted');
  callback(null, { user_id: 1 });
}
