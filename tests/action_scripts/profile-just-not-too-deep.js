// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
function login(email, password, callback) {
  let profile = { user_id: 1, text: `"${'['.repeat(100)}\\` };
  for (let depth = 0; depth < 63; depth++) profile = { user_id: 1, profile };
  callback(null, profile);
}
