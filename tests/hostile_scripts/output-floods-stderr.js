// attack: write to stderr without end
// outcome: contract_violation
// detail: output_flood
// retires: output_flood
function login(email, password, callback) {
  const chunk = 'x'.repeat(1e6);
  for (;;) {
    try {
      require('fs').writeSync(2, chunk);
    } catch {}
  }
}
