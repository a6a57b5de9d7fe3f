// action: create
// args: [{"email":"alice@example.com"}]
// outcome: succeeded
// value: null
function create(user, callback) {
  callback(null);
}
