// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":"alice@example.com"}
function login() {
  arguments[arguments.length - 1](null, { user_id: arguments[0] });
}
