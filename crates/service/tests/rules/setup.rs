//! The first start, peppers and the operator's own key.

use keys::{Pepper, Peppers, PlainKey};
use service::{Error, OrphanPolicy, SetupError, operations, prepare};

use crate::kit::{bench, env, peppers};

fn pepper(letter: &str) -> Pepper {
    Pepper::new(letter.repeat(32)).unwrap()
}

#[tokio::test]
async fn of_many_first_starts_at_once_one_makes_an_admin_key() {
    let db = testkit::memory::MemoryDatabase::new();
    let env = env(&testkit::clock::FakeClock::new(), 1);
    let peppers = peppers();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let (db, env, peppers) = (db.clone(), env.clone(), peppers.clone());
            tokio::spawn(async move {
                prepare(&db, &env, &peppers, None, OrphanPolicy::Refuse, None).await
            })
        })
        .collect();
    let mut made = 0;
    for start in starts {
        made += usize::from(start.await.unwrap().unwrap().admin_key.is_some());
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn another_pepper_is_refused_and_a_rotated_one_is_not() {
    let bench = bench().await;
    let env = env(&bench.clock, 2);
    let start_with = async |peppers: Peppers, orphans: OrphanPolicy| {
        prepare(&bench.db, &env, &peppers, None, orphans, None).await
    };
    let start = async |peppers: Peppers| start_with(peppers, OrphanPolicy::Refuse).await;
    let refused = start(Peppers::new(pepper("x"), [])).await;
    assert!(matches!(refused, Err(SetupError::ForeignPepper)));
    start(Peppers::new(pepper("x"), [pepper("p")]))
        .await
        .unwrap();
    // The first admin key was made under the old pepper and has not been used since.
    let alone = || Peppers::new(pepper("x"), []);
    let orphans = start(alone()).await;
    let actual = orphans.unwrap_err().to_string();
    let id = pepper("p").id().to_string();
    assert!(
        actual.contains(&id) && actual.contains("1 admin keys"),
        "{actual}"
    );
    start_with(alone(), OrphanPolicy::Abandon).await.unwrap();
    // What was given up once is not asked about again.
    start(alone()).await.unwrap();
    let old = start(peppers()).await;
    assert!(
        matches!(old, Err(SetupError::ForeignPepper)),
        "the old pepper is no longer enough"
    );
}

#[tokio::test]
async fn changing_the_operators_key_ends_the_old_one() {
    let bench = bench().await;
    let env = env(&bench.clock, 2);
    let [first, second] = ["a", "b"].map(|letter| PlainKey::operator(&letter.repeat(40)).unwrap());
    let start = async |key: Option<&PlainKey>| {
        prepare(&bench.db, &env, &peppers(), key, OrphanPolicy::Refuse, None)
            .await
            .unwrap();
    };
    let works = async |key: &PlainKey| match bench.authenticate(key, operations::WHOAMI).await {
        Ok(_) => true,
        Err(refusal) => {
            assert!(matches!(refusal.error, Error::KeyRevoked));
            false
        }
    };
    start(Some(&first)).await;
    assert!(works(&first).await);
    start(Some(&second)).await;
    assert!(works(&second).await && !works(&first).await);
    start(Some(&first)).await;
    assert!(works(&first).await && !works(&second).await);
    start(None).await;
    assert!(!works(&first).await && !works(&second).await);
    assert!(
        works(&bench.admin).await,
        "a generated key does not depend on the settings"
    );
}
