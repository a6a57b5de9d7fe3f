// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  for (const handle of process._getActiveHandles()) handle.destroy && handle.destroy();
  callback(null, { user_id: 1 });
}
