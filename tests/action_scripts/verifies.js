// action: verify
// args: ["alice@example.com"]
// outcome: succeeded
// value: false
function verify(email, callback) {
  callback(null, false);
}
