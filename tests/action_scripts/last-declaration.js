// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function helper() {
  return 1;
}

async function checkCredentials(email, password, callback) {
  callback(null, { user_id: helper() });
};
