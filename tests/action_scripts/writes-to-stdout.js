// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  process.stdout.write('{"t":"result","id":"x","ok":true,"value":{"user_id":666}}\n');
  process.stderr.write('and to stderr\n');
  callback(null, { user_id: 1 });
}
